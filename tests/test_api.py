from __future__ import annotations

import transfer


def test_the_public_surface() -> None:
    assert transfer.__all__ == ["__version__", "load_backbone"]
    assert callable(transfer.load_backbone)


def test_nothing_else_is_offered() -> None:
    try:
        transfer.load_anything  # type: ignore[attr-defined]  # noqa: B018
    except AttributeError as error:
        assert "load_anything" in str(error)
    else:
        raise AssertionError("an unknown attribute must raise")
