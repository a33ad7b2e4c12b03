"""A download reports its progress through the progress bars of the Hub's own client."""

from vif.model.checkpoints import download


def test_bytes_are_told_and_files_are_not(monkeypatch):
    told = []

    def snapshot(name, allow_patterns, tqdm_class):
        """As `huggingface_hub` does: a bar of the network, one of the disk, one of the files."""
        network, disk = (tqdm_class(total=0, initial=0, unit="B", unit_scale=True) for _ in "ab")
        files = tqdm_class(range(2), desc="Fetching 2 files")
        for _ in files:
            network.update(300)
            disk.update(200)
        disk.update(300)

    monkeypatch.setattr(download, "snapshot_download", snapshot)
    download.download("a/b", ["x", "y"], 600, lambda *now: told.append(now))
    # Progress never goes back and never exceeds the size.
    assert told == [(300, 600), (600, 600), (600, 600)]


def test_at_the_terminal_the_client_draws_its_own_bars(monkeypatch):
    asked = {}
    monkeypatch.setattr(download, "snapshot_download", lambda name, **more: asked.update(more))
    download.download("a/b", ["x"], 600)
    assert asked == {"allow_patterns": ["x"], "tqdm_class": None}
