from pathlib import Path

from benchmarks.encoder import page
from counterpoint import tables


def test_a_stored_comparison_keeps_its_direction(tmp_path: Path) -> None:
    """JSON sorts the arms by name; what is gained over what must not change with it."""
    arms = ["trained", "another way"]
    both = {arms[0]: 0.25, arms[1]: 0.5}
    row = {
        "arms": arms,
        "splits": {name: [value] for name, value in both.items()},
        "means": both,
        "difference": {"mean": 0.25, "low": 0.2, "high": 0.3},
        "cpu_seconds": both,
        "peak_mb": both,
        "why": [None, None],
        "seeds": [0],
        "when": "today",
    }
    tables.write_json(tmp_path / "found.json", {"pretraining": row})
    text = page.markdown(tables.read_json(tmp_path / "found.json"))
    assert "Another way minus trained, paired over the users of all splits: +0.2500" in text
    assert text.index("| trained |") < text.index("| another way |")
