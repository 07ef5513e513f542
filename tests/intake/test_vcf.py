"""A VCF file is refused for what its version of the specification forbids, and for nothing else."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from omics_twin.cli import main
from omics_twin.intake.findings import CheckReport
from omics_twin.intake.vcf import check_vcf
from omics_twin.intake.vcf_lines import BGZF_END

COLUMNS = "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO"
META = [
    "##contig=<ID=1,length=1000>",
    "##contig=<ID=2>",
    '##FILTER=<ID=q10,Description="Quality below 10">',
    '##INFO=<ID=DP,Number=1,Type=Integer,Description="Depth">',
    '##INFO=<ID=MY,Number=R,Type=Float,Description="One per allele">',
    '##FORMAT=<ID=GT,Number=1,Type=String,Description="Genotype">',
    '##FORMAT=<ID=PL,Number=G,Type=Integer,Description="Likelihoods">',
    '##FORMAT=<ID=CH,Number=.,Type=Character,Description="Letters">',
]
RECORDS = [
    "1\t100\trs1;rs2\tA\tG\t10.5\tPASS\tDP=5;MY=0.1,2e-3;DB\tGT:PL\t0/1:1,2,3\t./.",
    "1\t100\t.\tA\tT,<DEL>\t.\tq10\t.\tGT:PL:CH\t1|2:1,2,3,4,5,6:a,b\t0",
    "1\t1001\t.\tN\tG]2:7]\t.\t.\t.\tGT\t0/1\t.",
    "2\t0\t.\tN\t.A\tinf\tPASS\tAC=1;AF=1\tPL\t.\t1,2,3",
]


def text(
    version: str = "4.2",
    meta: list[str] | None = None,
    records: list[str] | None = None,
    samples: str = "\tFORMAT\tTUMOUR\tNORMAL",
) -> str:
    lines = [f"##fileformat=VCFv{version}", *(META if meta is None else meta)]
    return "\n".join([*lines, COLUMNS + samples, *(RECORDS if records is None else records), ""])


def checked(folder: Path, content: str | bytes, name: str = "a.vcf") -> CheckReport:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return check_vcf(path)


def reasons(report: CheckReport) -> list[str]:
    return [f"{each.line}: {each.sentence}" for each in report.errors]


@pytest.mark.parametrize("version", ["4.1", "4.2", "4.3"])
def test_a_file_as_its_version_wants_it_is_accepted(version: str, tmp_path: Path) -> None:
    meta = [line for line in META if version != "4.1" or "Number=R" not in line]
    report = checked(tmp_path, text(version, meta))
    assert reasons(report) == []
    assert report.counted == {"records": 4, "samples": 2}


@pytest.mark.parametrize(
    ("version", "line", "told"),
    [
        ("4.2", "##source", "the line is '##source', expected '##key=value'"),
        ("4.2", "##source=", "has no value"),
        ("4.2", "##fileformat=VCFv4.2", "stands here again"),
        ("4.2", '##INFO=<ID=X,Number=1,Type=Integer,Description="x"', "between '<' and '>'"),
        ("4.2", '##INFO=<ID=X,Type=Integer,Description="x">', "has no 'Number'"),
        ("4.2", '##INFO=<ID=X,Type=Float,Number=1,Description="x">', "in order"),
        ("4.2", '##INFO=<ID=X,Number=1,Type=Int,Description="x">', "has Type 'Int'"),
        ("4.2", '##INFO=<ID=X,Number=-1,Type=Float,Description="x">', "has Number '-1'"),
        ("4.1", '##INFO=<ID=X,Number=R,Type=Float,Description="x">', "has Number 'R'"),
        ("4.2", "##INFO=<ID=X,Number=1,Type=Float,Description=x>", "without quotation marks"),
        ("4.2", '##INFO=<ID=X,Number=1,Type=Float,Description="x "y" z">', "cannot be read at"),
        ("4.2", '##INFO=<ID=DB,Number=1,Type=Float,Description="x">', "reserves this key"),
        ("4.2", '##INFO=<ID=DP,Number=1,Type=Float,Description="x">', "again"),
        ("4.3", '##INFO=<ID=X,Number=1,Type=Flag,Description="x">', "a Flag with Number '1'"),
        ("4.3", '##INFO=<ID=1X,Number=1,Type=Float,Description="x">', "no key of 4.3"),
        ("4.3", '##INFO=<ID=X,Number=1,Type=Float,Description="x",Source=y>', "Source without"),
        ("4.3", "##contig=<ID=2>", "again, expected each ID once"),
        ("4.3", "##contig=<ID=*a>", "sequence name in SAM"),
        ("4.3", "##other=<Key=1>", "has no 'ID'"),
        ("4.2", '##FORMAT=<ID=X,Number=0,Type=Flag,Description="x">', "has Type 'Flag'"),
        ("4.2", '##FORMAT=<ID=GQ,Number=1,Type=Float,Description="x">', "expected 'Integer'"),
        ("4.2", '##FILTER=<ID=0,Description="x">', "or '0'"),
        ("4.2", '##ALT=<ID=FOO,Description="x">', "first part"),
        ("4.2", '##ALT=<ID=BND,Description="x">', "first part"),
        ("4.2", '##ALT=<ID=DEL:A B,Description="x">', "no white-space"),
        ("4.2", "##contig=<ID=3,length=long>", "length 'long'"),
        ("4.2", '##SAMPLE=<ID=S,Mixture=1,Description="x">', "has no 'Genomes'"),
        ("4.2", "##PEDIGREE=<Name_0=a b>", "names 'a b'"),
        ("4.3", "##PEDIGREE=<Name_0=a>", "has no 'ID'"),
        ("4.2", "##pedigreeDB=<>", "expected a URL"),
        ("4.2", "##assembly=ftp://8080:8080/x", "expected a URL"),
        ("4.2", "no meta line", "expected '##key=value' or '#CHROM…'"),
    ],
)
def test_a_header_line_is_refused(version: str, line: str, told: str, tmp_path: Path) -> None:
    meta = [each for each in META if version != "4.1" or "Number=R" not in each]
    report = checked(tmp_path, text(version, [*meta, line], records=[]))
    assert {each.line for each in report.errors} == {len(meta) + 2}
    assert any(told in reason for reason in reasons(report))


@pytest.mark.parametrize(
    ("version", "line"),
    [
        ("4.2", '##INFO=<ID=X,Number=A,Type=String,Description="a \\"b\\", c",Source=y>'),
        ("4.3", '##ALT=<ID=BND,Description="x">'),
        ("4.3", '##ALT=<ID=R,Description="IUPAC code">'),
        ("4.3", "##META=<ID=Assay,Type=String,Number=.,Values=[Whole, Exome]>"),
        ("4.3", "##PEDIGREE=<ID=Child,Father=F,Mother=M>"),
        ("4.3", "##SAMPLE=<ID=S,Assay=Exome>"),
        ("4.2", '##SAMPLE=<ID=S,Genomes=a;b,Mixture=.1;.9,Description="x;y">'),
        ("4.2", "##pedigreeDB=<http://host.org/x>"),
        ("4.2", "##assembly=file:///x/y.fa"),
        ("4.2", '##title=<"words">'),
    ],
)
def test_a_header_line_is_accepted(version: str, line: str, tmp_path: Path) -> None:
    assert reasons(checked(tmp_path, text(version, [*META, line]))) == []


@pytest.mark.parametrize(
    ("version", "record", "told"),
    [
        ("4.2", "1\t5\t.\tA\tG", "has 5 columns, expected 11"),
        ("4.2", "1 5 . A G . . . GT 0 0", "separated by tabs"),
        ("4.2", "", "expected 11 columns"),
        ("4.2", "1\t5\t\tA\tG\t.\t.\t.\tGT\t0\t0", "column 3 is empty"),
        ("4.2", "c:1\t5\t.\tA\tG\t.\t.\t.\tGT\t0\t0", "CHROM is 'c:1'"),
        ("4.3", "c:1\t5\t.\tA\tG\t.\t.\t.\tGT\t0\t0", "declare it as ##contig"),
        ("4.2", "1\t1002\t.\tA\tG\t.\t.\t.\tGT\t0\t0", "expected at most 1001"),
        ("4.2", "1\t99999999999\t.\tA\tG\t.\t.\t.\tGT\t0\t0", "POS is '99999999999'"),
        ("4.2", "1\t5\ta b\tA\tG\t.\t.\t.\tGT\t0\t0", "ID is 'a b'"),
        ("4.3", "1\t5\ta;a\tA\tG\t.\t.\t.\tGT\t0\t0", "each name once"),
        ("4.2", "1\t5\t.\tR\tG\t.\t.\t.\tGT\t0\t0", "REF is 'R'"),
        ("4.2", "1\t5\t.\tA\tG,G\t.\t.\t.\tGT\t0\t0", "each allele once"),
        ("4.2", "1\t5\t.\tA\ta\t.\t.\t.\tGT\t0\t0", "like REF"),
        ("4.1", "1\t5\t.\tA\t*\t.\t.\t.\tGT\t0\t0", "ALT holds '*'"),
        ("4.2", "1\t5\t.\tA\t<FOO>\t.\t.\t.\tGT\t0\t0", "does not know"),
        ("4.2", "1\t5\t.\tA\tG]2:7[\t.\t.\t.\tGT\t0\t0", "ALT holds 'G]2:7['"),
        ("4.2", "1\t5\t.\tA\tG\t-1\t.\t.\tGT\t0\t0", "QUAL is '-1'"),
        ("4.2", "1\t5\t.\tA\tG\t.\tq10;.\t.\tGT\t0\t0", "FILTER is 'q10;.'"),
        ("4.3", "1\t5\t.\tA\tG\t.\tq10;q10\t.\tGT\t0\t0", "each code once"),
        ("4.2", "1\t5\t.\tA\tG\t.\t.\tDP=5;;DB\tGT\t0\t0", "INFO holds ''"),
        ("4.2", "1\t5\t.\tA\tG\t.\t.\tDP=5;DP=6\tGT\t0\t0", "each key once"),
        ("4.2", "1\t5\t.\tA\tG\t.\t.\tDP\tGT\t0\t0", "has no value"),
        ("4.2", "1\t5\t.\tA\tG\t.\t.\tDP=a b\tGT\t0\t0", "white-space"),
        ("4.2", "1\t5\t.\tA\tG\t.\t.\tDP=3000000000\tGT\t0\t0", "to 2147483647"),
        ("4.2", "1\t5\t.\tA\tG\t.\t.\tMY=1\tGT\t0\t0", "expected 2 (one per allele)"),
        ("4.2", "1\t5\t.\tA\tG\t.\t.\tMY=x,1\tGT\t0\t0", "a number in every place"),
        ("4.2", "1\t5\t.\tA\tG\t.\t.\tDB=yes\tGT\t0\t0", "it is a flag"),
        ("4.2", "1\t5\t.\tA\tG\t.\t.\tAF=1.5\tGT\t0\t0", "between 0 and 1"),
        ("4.2", "1\t5\t.\tA\tG\t.\t.\tEND=4\tGT\t0\t0", "at least POS, 5"),
        ("4.2", "1\t5\t.\tA\tG\t.\t.\tCIGAR=3\tGT\t0\t0", "CIGAR is '3'"),
        ("4.3", "1\t5\t.\tA\tG\t.\t.\tA+B=3\tGT\t0\t0", "INFO key is 'A+B'"),
        ("4.2", "1\t5\t.\tA\tG\t.\t.\t.\tDP:GT\t0:0\t0:0", "expected GT first"),
        ("4.2", "1\t5\t.\tA\tG\t.\t.\t.\tGT:A_B\t0\t0", "letters and digits"),
        ("4.2", "1\t5\t.\tA\tG\t.\t.\t.\tDP:DP\t0\t0", "each key once"),
        ("4.2", "1\t5\t.\tA\tG\t.\t.\t.\tGT\t0/2\t0", "sample 'TUMOUR': GT is '0/2'"),
        ("4.2", "1\t5\t.\tA\tG\t.\t.\t.\tGT\t0/x\t0", "GT is '0/x'"),
        ("4.2", "1\t5\t.\tA\tG\t.\t.\t.\tGT\t0:1\t0", "but FORMAT 1 keys"),
        ("4.2", "1\t5\t.\tA\tG\t.\t.\t.\tGT:DP\t0:\t0", "no empty value"),
        ("4.2", "1\t5\t.\tA\tG\t.\t.\t.\tGT:PL\t0:1,2,3\t0", "expected 2 (one per genotype)"),
        ("4.2", "1\t5\t.\tA\tG\t.\t.\t.\tGT:CH\t0:ab\t0", "expected one character"),
        ("4.2", "1\t5\t.\tA\tG\t.\t.\t.\tGT:GQ\t0:-1\t0", "whole numbers from 0"),
        ("4.3", "1\t5\t.\tA\tG\t.\t.\t.\tGT:GP\t0:0.5,1.5\t0", "between 0 and 1"),
        ("4.2", "1\t5\t.\tA\tG\t.\t.\t.\tGT:XX\t0:a b\t0", "XX is 'a b', expected no white"),
        ("4.3", "1\t5\t.\tA\tG\t.\t.\t.\tGT:FT\t0:a b\t0", "FT is 'a b', expected no white"),
    ],
)
def test_a_record_is_refused(version: str, record: str, told: str, tmp_path: Path) -> None:
    meta = [each for each in META if version != "4.1" or "Number=R" not in each]
    report = checked(tmp_path, text(version, meta, [record]))
    assert {each.line for each in report.errors} == {len(meta) + 3}
    assert any(told in reason for reason in reasons(report))


@pytest.mark.parametrize(
    ("version", "record"),
    [
        ("4.2", "<1>\t5\t.\tacgtn\t*\t+Inf\t.\t.\tGT\t0/1\t.|."),
        ("4.2", "1\t5\t.\tA\t<*>\t.\t.\tEND=9\tGT\t0/0\t0/0/0"),
        ("4.2", "1\t5\t.\tA\t<DUP:TANDEM>,]<c>:1]G\t.\t.\tSVTYPE=DUP\tGT\t0/2\t0"),
        ("4.2", "1\t5\t.\tA\tG\t.\t.\tDP=.;DB;UNKNOWN=a,b\tGT:PL\t0/0/1:1,2,3,4\t."),
        ("4.3", "1\t5\t.\tA\tG\t.\t.\tUNKNOWN=a b\tGT:A_B.C\t0:a b\t0"),
        ("4.3", "1\t5\t.\tA\t<BND>\t.\t.\tSB=1,2,3,4\tGT:AD\t0:1,2\t0:."),
    ],
)
def test_a_record_is_accepted(version: str, record: str, tmp_path: Path) -> None:
    assert reasons(checked(tmp_path, text(version, records=[record]))) == []


@pytest.mark.parametrize(
    ("records", "told"),
    [
        (["1\t9\tA\tG", "1\t8\tA\tG"], "POS is 8 after 9"),
        (["1\t9\tA\tG", "2\t9\tA\tG", "1\t9\tA\tT"], "CHROM is '1' again"),
        (["1\t9\tTAT\tTGT", "1\t10\tA\tG"], "is the variant of line 3"),
        (["1\t9\tA\tG,T", "1\t9\tA\tT"], "is the variant of line 3"),
    ],
)
def test_records_out_of_order_are_refused(records: list[str], told: str, tmp_path: Path) -> None:
    full = ["{}\t{}\t.\t{}\t{}\t.\t.\t.".format(*each.split("\t")) for each in records]
    [reason] = reasons(checked(tmp_path, text(meta=[], records=full, samples="")))
    assert told in reason


def test_values_of_a_type_that_does_not_exist_are_not_read_as_numbers(tmp_path: Path) -> None:
    meta = ['##INFO=<ID=AF,Number=A,Type=Int,Description="x">']
    records = ["1\t9\t.\tA\tG\t.\t.\tAF=X"]
    report = checked(tmp_path, text(meta=meta, records=records, samples=""))
    assert {each.line for each in report.errors} == {2}


MUTECT2 = [
    '##FILTER=<ID=PASS,Description="Site contains at least one allele that passes filters">',
    '##FORMAT=<ID=GT,Number=1,Type=String,Description="Genotype">',
    '##FORMAT=<ID=AD,Number=R,Type=Integer,Description="Allelic depths">',
    '##FORMAT=<ID=AF,Number=A,Type=Float,Description="Allele fractions of alternate alleles">',
    '##FORMAT=<ID=SB,Number=4,Type=Integer,Description="Fisher\'s Exact Test of strand bias">',
    '##INFO=<ID=AS_FilterStatus,Number=A,Type=String,Description="Status for each allele">',
    '##INFO=<ID=AS_SB_TABLE,Number=1,Type=String,Description="Counts; alleles separated by |.">',
    '##INFO=<ID=AS_UNIQ_ALT_READ_COUNT,Number=A,Type=Integer,Description="Unique reads">',
    '##INFO=<ID=MBQ,Number=R,Type=Integer,Description="median base quality by allele">',
    "##contig=<ID=chr1,length=248956422>",
    "##normal_sample=N",
    "##source=Mutect2",
    "##tumor_sample=T",
]


def mutect2(info: str) -> str:
    rest = "GT:AD:AF:SB\t0/0:9,0,0:0.1,0.1:9,0,0,0\t0/1/2:42,9,3:0.16,0.05:30,12,7,5"
    record = f"chr1\t114713909\t.\tG\tT,A\t.\tPASS\tMBQ=41,41,30;{info}\t{rest}"
    return text(
        meta=MUTECT2, records=[record, record.replace("909", "910")], samples="\tFORMAT\tN\tT"
    )


def test_what_mutect2_writes_of_each_allele_is_accepted(tmp_path: Path) -> None:
    status = "AS_FilterStatus=SITE,weak_evidence|strand_bias,weak_evidence"
    info = f"{status};AS_SB_TABLE=30,12|4,5|3,0;AS_UNIQ_ALT_READ_COUNT=9|3"
    report = checked(tmp_path, mutect2(info))
    assert reasons(report) == []
    assert ["separates alleles by '|'" in each.sentence for each in report.findings] == [True] * 3


@pytest.mark.parametrize(
    ("info", "told"),
    [
        ("AS_UNIQ_ALT_READ_COUNT=9|3|4", "is '9|3|4', expected a whole number"),
        ("AS_UNIQ_ALT_READ_COUNT=9|x", "is '9|x', expected a whole number"),
        ("AS_FilterStatus=SITE,weak_evidence,map_qual", "holds 3 values"),
        ("MBQ=41|41|30", "INFO holds 'MBQ' twice"),
    ],
)
def test_what_no_allele_has_is_still_refused(info: str, told: str, tmp_path: Path) -> None:
    assert told in reasons(checked(tmp_path, mutect2(info)))[0]


def test_symbolic_alleles_may_come_again(tmp_path: Path) -> None:
    records = ["1\t9\t.\tA\t<INS>\t.\t.\t."] * 2
    assert reasons(checked(tmp_path, text(meta=[], records=records, samples=""))) == []


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        (COLUMNS.replace("POS", "POSITION"), "column 'POSITION' stands where 'POS'"),
        (COLUMNS.replace("\t", " "), "separated by tabs"),
        (f"{COLUMNS}\tFORMAT", "no sample"),
        (f"{COLUMNS}\tFORMAT\tA\tA", "'A' stands in two columns"),
        (f"{COLUMNS}\tFORMAT\tA\t", "name of sample 2 is empty"),
        ("1\t5\t.\tA\tG\t.\t.\t.", "is a record, expected the line of columns"),
        ("##source=x", "no line of columns"),
    ],
)
def test_a_line_of_columns_is_refused(columns: str, told: str, tmp_path: Path) -> None:
    [reason] = reasons(checked(tmp_path, f"##fileformat=VCFv4.2\n{columns}\n"))
    assert told in reason


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "is empty"),
        (b"##fileformat=VCF v4.2\n", "the first line is '##fileformat=VCF v4.2'"),
        (b"##fileformat=VCFv9.9\n", "expected '##fileformat=VCFv4.1', 4.2 or 4.3"),
        (b"\xff\xfe##fileformat\n", "byte 1 is not UTF-8"),
        (b"BCF\x02\x02", "is BCF"),
        (gzip.compress(text().encode())[:-9], "compressed data are damaged"),
        (gzip.compress(text().encode()) + b"rest", "compressed data are damaged"),
        (BGZF_END[:-1], "does not end with its empty end block"),
        (text().replace("rs1", "r\x07").encode(), "control character '\\x07'"),
    ],
)
def test_bytes_that_are_no_vcf_are_refused(content: bytes, told: str, tmp_path: Path) -> None:
    assert any(told in reason for reason in reasons(checked(tmp_path, content)))


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_compressed_files_and_both_line_ends_are_read(line_end: str, tmp_path: Path) -> None:
    content = text().replace("\n", line_end).encode()
    assert reasons(checked(tmp_path, content)) == []
    assert reasons(checked(tmp_path, gzip.compress(content))) == []


def test_a_cut_off_last_line_is_mentioned_and_refused_from_4_3_on(tmp_path: Path) -> None:
    assert "no line end" in checked(tmp_path, text()[:-1]).warnings[-1].sentence
    assert "no line end" in reasons(checked(tmp_path, text("4.3")[:-1]))[0]


def test_a_folder_is_refused(tmp_path: Path) -> None:
    [reason] = reasons(check_vcf(tmp_path))
    assert "is a folder or a device" in reason


def test_findings_are_bounded(tmp_path: Path) -> None:
    records = ["1\tx\t.\tA\tG\t.\t.\t."] * 10_050
    report = checked(tmp_path, text(meta=[], records=records, samples=""))
    assert len(report.findings) == 10_001
    assert "50 more findings are not listed" in report.findings[-1].sentence


def test_what_is_not_declared_is_mentioned_once(tmp_path: Path) -> None:
    records = [f"1\t{place}\t.\tA\tG\t.\tq9\tXX=1\tGT:DS\t0\t0" for place in range(5)]
    told = [each.sentence for each in checked(tmp_path, text(records=records)).warnings]
    assert len(told) == 3
    assert "FILTER 'q9' is used but not declared" in told[0]


def test_the_verb_refuses_a_bad_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good, bad = tmp_path / "good.vcf", tmp_path / "bad.vcf"
    good.write_text(text())
    bad.write_text(text().replace("\t100\t", "\tx\t"))
    assert main(["check", "intake=vcf", f"intake.path={good}"]) == 0
    assert "is as it should be: 4 records, 2 samples" in capsys.readouterr().out
    assert main(["check", "intake=vcf", f"intake.path={bad}"]) == 1
    assert "bad.vcf:11: POS is 'x', expected a whole number" in capsys.readouterr().out


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    flips=st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), max_size=8),
    cut=st.integers(1, 2_000),
    packed=st.booleans(),
)
def test_damaged_bytes_are_judged_and_never_crash(
    flips: list[tuple[int, int]], cut: int, packed: bool, tmp_path: Path
) -> None:
    content = bytearray(text().encode())
    if packed:
        content = bytearray(gzip.compress(bytes(content)))
    for place, byte in flips:
        content[place % len(content)] = byte
    report = checked(tmp_path, bytes(content[:cut]))
    assert all(each.sentence for each in report.findings)


def test_a_declared_key_that_many_programs_write_is_only_mentioned(tmp_path: Path) -> None:
    meta = [*META, '##FORMAT=<ID=MIN_DP,Number=1,Type=Integer,Description="Lowest depth">']
    report = checked(tmp_path, text("4.2", meta, ["1\t5\t.\tA\tG\t.\t.\t.\tGT:MIN_DP\t0:7\t0"]))
    assert reasons(report) == []
    assert "FORMAT key 'MIN_DP' holds more than letters and digits" in str(report.warnings)
