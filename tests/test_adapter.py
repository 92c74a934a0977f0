from worldbench.adapter import capabilities


def test_capabilities_are_found_by_method():
    class Both:
        def generate(self) -> None: ...
        def encode(self) -> None: ...

    class HalfReplay:
        def replay(self) -> None: ...

    assert capabilities(Both()) == ("encodes", "generates")
    assert capabilities(HalfReplay()) == ()
    assert capabilities(object()) == ()
