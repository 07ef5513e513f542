"""Run by Alembic: the steps are taken on the connection that opens the chart."""

from alembic import context

from omics_twin.chart.tables import METADATA


def _take_steps() -> None:
    context.configure(
        connection=context.config.attributes["connection"],
        target_metadata=METADATA,
        # SQLite changes a table by making it anew.
        render_as_batch=True,
    )
    context.run_migrations()


# Alembic gives the context its configuration while it runs this file; an import does nothing.
if hasattr(context, "config"):
    _take_steps()
