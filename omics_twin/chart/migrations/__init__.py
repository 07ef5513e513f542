"""Steps from one form of the chart to the next, run by Alembic as a chart is opened."""
