import csv
import io

from byheart.paper.table import Column, Table

TABLE = Table(
    "made-up",
    "Made | up",
    (Column("method", "method"), Column("percent", "ours", 1), Column("num_seeds", "seeds"), Column("note", "note")),
    (("SFT", 12.3456789, 1200, "a|b <c>"), ("MemFT-OT", None, 3, "")),
    ("a *note*",),
)


def test_markdown_rounds_and_shows_what_is_missing():
    assert TABLE.to_markdown() == (
        "# Made \\| up\n"
        "\n"
        "| method | ours | seeds | note |\n"
        "| --- | ---: | ---: | --- |\n"
        "| SFT | 12.3 | 1,200 | a\\|b &lt;c> |\n"
        "| MemFT-OT | – | 3 | – |\n"
        "\n"
        "- a \\*note\\*\n"
    )


def test_csv_comes_back_with_every_digit():
    rows = list(csv.DictReader(io.StringIO(TABLE.to_csv())))
    assert [row["method"] for row in rows] == ["SFT", "MemFT-OT"]
    assert float(rows[0]["percent"]) == 12.3456789
    assert rows[1]["percent"] == ""
    assert rows[0]["note"] == "a|b <c>"
    assert list(rows[0]) == [column.name for column in TABLE.columns]


def test_both_files_are_written(tmp_path):
    markdown, values = TABLE.save(tmp_path / "tables")
    assert markdown.read_text(encoding="utf-8") == TABLE.to_markdown()
    assert values.read_text(encoding="utf-8") == TABLE.to_csv()
