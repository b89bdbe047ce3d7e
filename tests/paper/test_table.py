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


def test_people_read_a_long_text_of_every_row_once():
    columns = (Column("rank", "rank"), Column("differs_in", "differs in"), Column("short", "short"))
    said = "model, placement, epochs, rate"
    table = Table("t", "T", columns, ((1, said, "a"), (2, said, "a")), ("a note",))
    told = table.for_people()
    assert [column.name for column in told.columns] == ["rank", "short"]
    assert told.rows == ((1, "a"), (2, "a"))
    assert told.notes == (f"differs in, every row: {said}", "a note")


def test_people_read_long_texts_that_differ_or_stand_alone_in_their_rows():
    columns = (Column("rank", "rank"), Column("differs_in", "differs in"))
    of_all, of_two = "model, placement, epochs, rate", "model, placement, epochs"
    for rows in (((1, of_all), (2, of_two)), ((1, of_all),), ()):
        table = Table("t", "T", columns, rows)
        assert table.for_people() == table


def test_the_files_of_a_long_text_of_every_row(tmp_path):
    columns = (Column("rank", "rank"), Column("differs_in", "differs in"))
    said = "model, placement, epochs, rate"
    markdown, csv = Table("t", "T", columns, ((1, said), (2, said))).save(tmp_path)
    assert markdown.read_text(encoding="utf-8").count(said) == 1
    assert csv.read_text(encoding="utf-8").count(said) == 2
