"""`gioconda batch`: a table is checked whole, its jobs are made once, and what is done is told by content."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import psutil
import pytest
from typer.main import get_command

import gioconda
import programs
from batch_world import Here, animated, record_of, scraps, table, world
from errands import errand
from gioconda import cluster
from gioconda.batch import run as running
from gioconda.batch import work
from gioconda.batch.columns import COLUMNS
from gioconda.batch.jobs import read_jobs
from gioconda.batch.table import TableError, read_rows
from gioconda.cli import app, run
from gioconda.cluster import WorkerLost, over_ray
from gioconda.errors import InputError
from gioconda.motion import store
from gioconda.motion.templates import template
from gioconda.requests import KINDS


@pytest.fixture
def folder(tmp_path, astronaut_image):
    return world(tmp_path / "work", astronaut_image)


@pytest.fixture
def here(monkeypatch):
    """Jobs are carried out in this process."""
    executor = Here()
    monkeypatch.setattr(running, "_executor", executor.open)
    return executor


def batch(path, *options):
    return run(["batch", str(path), *options])


def problems(path, **options):
    with pytest.raises(TableError) as told:
        read_jobs(path, **options)
    return told.value.problems


# ---- the table


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        ({"portrait": "nobody.png"}, "nobody.png does not exist"),
        ({"portrait": ""}, "portrait is missing"),
        ({"motion": ""}, "give either motion or template"),
        ({"template": "nod"}, "give either motion or template"),
        ({"motion": "", "template": "dance"}, "template 'dance' is not known; choose one of idle"),
        ({"kind": "dance"}, "kind 'dance' is not known; choose one of animate, speak, edit, export"),
        ({"kind": "speak", "motion": ""}, "give either a sound to speak (audio) or a text to say (text)"),
        ({"voice": "f2"}, "voice does not apply to kind animate; remove it"),
        ({"audio": "talk.npz"}, "audio 'talk.npz' is neither yes nor no"),
        ({"engine": "wrap"}, "engine 'wrap' is not known; choose one of warp, fewshot"),
        ({"strength": "3"}, "strength 3 is outside 0 to 2"),
        ({"strength": "nan"}, "strength nan is outside"),
        ({"size": "63"}, "size 63 is outside 64 to 4096"),
        ({"size": "large"}, "'large' is not a whole number"),
        ({"crop": "perhaps"}, "'perhaps' is neither yes nor no"),
        ({"no-refine": "yes"}, "give either refine or no-refine"),
        ({"face": "-1"}, "give 0 for the largest face"),
        ({"rights": ""}, "rights is missing"),
        ({"out": ""}, "out is missing"),
        ({"out": "a.avi"}, "choose one of .mp4, .webm, .gif"),
        ({"out": "none/a.mp4"}, "create it or choose another"),
        ({"kind": "edit", "motion": "", "out": "a.mp4"}, "choose one of .png"),
        ({"kind": "edit", "motion": "", "out": "a.png", "set": "jaw=1"}, "did you mean jawOpen"),
        ({"photo": "eileen.png|nobody.png"}, "nobody.png does not exist"),
        ({"photo": "|".join(["eileen.png"] * 33)}, "33 photos are too many"),
        ({"background": "nowhere.png"}, "nowhere.png does not exist"),
        ({"background": "eileen.png", "out": "eileen.png"}, "is an input of line"),
        ({"key": "eileen.png"}, "a key and a certificate belong together"),
    ],
)
def test_what_is_wrong_with_a_line_is_told_with_its_number(folder, cells, words):
    found = problems(table(folder, [animated("ok.mp4"), animated("a.mp4") | cells]))
    assert all(sentence.startswith("line 3: ") for sentence in found)
    assert any(words in sentence for sentence in found)


def test_a_background_is_a_colour_or_a_file_beside_the_table(folder):
    colours = ("white", "#00ff00", "transparent", "eileen.png")
    rows = [animated(f"{k}.webm", background=colour) for k, colour in enumerate(colours)]
    jobs = read_jobs(table(folder, rows))
    assert [job.request.background for job in jobs] == [*colours[:3], folder / "eileen.png"]


def test_all_problems_of_all_lines_are_told_before_anything_starts(folder, capsys):
    rows = [
        animated("a.mp4", strnght="1"),
        animated("a.mp4", portrait="nobody.png", size="9"),
        animated("./x/../a.mp4"),
        animated("b.mp4", kind="edit", motion=""),
        animated("eileen.png", kind="edit", motion=""),
    ]
    before = sorted(folder.iterdir())
    path = table(folder, rows)
    assert batch(path) == 2
    told = capsys.readouterr().err.splitlines()
    assert told[0].endswith("7 problems, nothing was started")
    assert [line.split(":")[0] for line in told[1:]] == [f"line {k}" for k in (1, 3, 3, 3, 4, 5, 6)]
    assert "did you mean strength?" in told[1]
    assert any("a.mp4 is also the output of line 2; choose another name" in line for line in told)
    assert "line 6: the output eileen.png is an input of line 2; choose another name" in told
    assert sorted(folder.iterdir()) == sorted([*before, path])


def test_an_output_reached_by_a_link_is_the_same_file(folder):
    (folder / "link").symlink_to(folder)
    found = problems(table(folder, [animated("a.mp4"), animated("link/a.mp4")]))
    assert found == ("line 3: link/a.mp4 is also the output of line 2; choose another name",)
    assert "is the table itself" in problems(table(folder, [animated("jobs.csv", kind="edit")]))[-1]


def test_tables_of_spreadsheets_and_json_lines_say_the_same(folder):
    row = animated("a.mp4", photo="eileen.png", strength="0.5", **{"no-audio": "yes"})
    plain = read_jobs(table(folder, [row]))
    names, cells = ";".join(f"--{name}".upper() for name in row), ";".join(row.values())
    (folder / "german.csv").write_text(f"\ufeff{names}\r\n\r\n{cells}\r\n;;\r\n", encoding="utf-8")
    told = {**row, "photo": ["eileen.png"], "strength": 0.5, "no_audio": True, "crop": True, "voice": None}
    (folder / "jobs.jsonl").write_text(f"\n{json.dumps({**told, 'size': 64})}\n")
    assert plain[0].request.audio is False
    del told["no-audio"]
    (folder / "jobs.jsonl").write_text(f"\n{json.dumps({**told, 'size': 64})}\n")
    german, lines = (read_jobs(folder / name)[0] for name in ("german.csv", "jobs.jsonl"))
    assert (german.line, lines.line) == (3, 2)
    assert german.request == lines.request == plain[0].request


def test_a_cell_of_several_lines_counts_from_its_first(folder):
    path = folder / "jobs.csv"
    path.write_text(
        'portrait,kind,text,out,rights\neileen.png,speak,"Good\nevening.",a.mp4,own\nno.png,edit,,b.png,own\n'
    )
    assert problems(path) == ("line 4: no.png does not exist; check the spelling of the path",)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.txt", b"x", "not a table of jobs"),
        ("a.csv", b"\xff\xfe\0", "not encoded in UTF-8"),
        ("a.csv", b"out,portrait\n", "has no jobs"),
        ("a.csv", b'out,portrait\na.mp4,"b', "later lines were not read"),
        ("a.csv", b"portrait\neileen.png\n", "the column out is missing"),
        ("a.csv", b"out,portrait\na.mp4,b,c\n", "3 cells, the header has 2"),
        ("a.csv", b"out,out\na.mp4,b.mp4\n", "the header has the column out twice"),
        ("a.jsonl", b"[1]\n{", "line 2: not a JSON object"),
        ("a.jsonl", b'{"out": {}}', "must be a string, a number"),
        ("a.jsonl", b"[" * 9000, "not a JSON object"),
    ],
)
def test_what_is_no_table_is_told(tmp_path, name, content, words):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=r"(?s)" + words):
        read_jobs(tmp_path / name, "own")


def test_every_option_of_the_command_line_has_a_column():
    for kind in KINDS:
        for one in get_command(app).commands[kind].params:
            for name in (
                opt.removeprefix("--") for opt in (*one.opts, *one.secondary_opts) if opt.startswith("--")
            ):
                assert name in ("out", "list", "help", "device") or name in COLUMNS[kind], f"{kind} --{name}"


def test_rights_may_be_told_for_all_and_a_dry_run_makes_nothing(folder, capsys):
    path = table(folder, [animated("a.mp4", rights=""), animated("b.mp4")])
    before = sorted(folder.iterdir())
    assert batch(path, "--dry-run", "--rights", "I painted it.") == 0
    assert "line 2: a.mp4: animate\nline 3: b.mp4: animate\n" in capsys.readouterr().out
    assert sorted(folder.iterdir()) == before
    rights = [job.request.rights for job in read_jobs(path, "I painted it.")]
    assert rights == ["I painted it.", "A public-domain portrait."]


# ---- what is made, and made again


@pytest.mark.slow
def test_a_bad_file_fails_alone_and_the_rest_is_made_and_signed(folder, here, capsys):
    (folder / "text.png").write_text("no picture")
    rows = [
        animated("a.mp4"),
        animated("bad.mp4", portrait="text.png"),
        {**animated("b.gif", motion="nod", strength="0.5"), "absolute": "yes"},
        animated("c.png", kind="edit", motion="", yaw="10", set="mouthSmileLeft=0.8|jawOpen=0.2"),
    ]
    path, report = table(folder, rows), folder / "summary.json"
    assert batch(path, "--report", str(report)) == 7
    out, err = capsys.readouterr()
    assert err.startswith("line 3: bad.mp4: text.png is not a picture")
    assert "3 done, 0 skipped, 1 failed" in out
    verdicts = [gioconda.verify(folder / name) for name in ("a.mp4", "b.gif", "c.png")]
    assert [verdict.status for verdict in verdicts] == ["ours"] * 3
    told = json.loads(report.read_text())
    assert [one["line"] for one in told["done"]] == [2, 4, 5]
    assert [one["line"] for one in told["failed"]] == [3]
    assert told["frames"] == sum(one["frames"] for one in told["done"]) > 7
    assert len(here.tasks) == 4  # our own errors are not tried again
    assert not (folder / "bad.mp4").exists()
    assert scraps(folder) == []


@pytest.mark.slow
def test_only_what_changed_is_made_again(folder, here, capsys):
    rows = [animated(f"{name}.png", kind="edit", motion="", yaw="5") for name in "abc"]
    path = table(folder, rows)

    def made(*options):
        here.tasks.clear()
        assert batch(path, *options) == 0
        return [task.out.name for task in here.tasks]

    assert made() == ["a.png", "b.png", "c.png"]
    assert made() == []
    assert "0 done, 3 skipped" in capsys.readouterr().out
    os.utime(folder / "eileen.png")  # a new time alone changes nothing
    assert made() == []
    (folder / "a.png").write_bytes(b"damaged")
    (folder / "b.png").unlink()
    assert made() == ["a.png", "b.png"]
    assert gioconda.verify(folder / "a.png").status == "ours"
    rows[1]["yaw"] = "6"
    table(folder, rows)
    assert made() == ["b.png"]
    assert made("--again") == ["a.png", "b.png", "c.png"]
    assert len(read_rows(path)[0]) == 3
    record = folder / "jobs.csv.done.jsonl"
    record.write_bytes(b"strange\n[1]\n" + record.read_bytes()[:-20])  # torn as by a power cut
    assert made() == ["c.png"]
    assert made() == []
    with (folder / "eileen.png").open("ab") as file:
        file.write(b"more")
    assert made("--dry-run") == []
    assert "3 to make" in capsys.readouterr().out
    assert made() == ["a.png", "b.png", "c.png"]


def test_a_changed_motion_and_another_version_are_noticed(folder, here, monkeypatch):
    path = table(folder, [animated("a.gif"), animated("b.gif", motion="other.npz")])
    assert batch(path) == 0
    store.save(template("nod"), folder / "other.npz")
    here.tasks.clear()
    assert batch(path) == 0
    assert [task.out.name for task in here.tasks] == ["b.gif"]
    monkeypatch.setattr(gioconda, "__version__", "9.9.9")
    assert batch(path) == 7  # what is sent out says the version that it was made for
    assert len(here.tasks) == 3


def test_a_sidecar_that_is_gone_is_made_again(folder, here):
    path = table(folder, [animated("a.webm")])
    assert batch(path) == 0
    (folder / "a.c2pa").unlink()
    assert batch(path) == 0
    assert gioconda.verify(folder / "a.webm").status == "ours"
    assert len(here.tasks) == 2


def test_a_record_that_cannot_be_written_and_another_run_are_told(folder, here, capsys):
    fcntl = pytest.importorskip("fcntl")
    path = table(folder, [animated("a.png", kind="edit", motion="")])
    record = folder / "jobs.csv.done.jsonl"
    with record.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert batch(path) == 2
    assert "another gioconda batch" in capsys.readouterr().err
    record.unlink()
    record.mkdir()
    assert batch(path) == 5
    assert "cannot be written" in capsys.readouterr().err
    assert here.tasks == []


@pytest.mark.slow
def test_a_job_that_takes_too_long_is_stopped_and_told(folder, here, capsys):
    rows = [animated("a.mp4", motion="idle", size="512"), animated("b.png", kind="edit", motion="")]
    path = table(folder, rows)
    assert batch(path, "--timeout", "1") == 7
    assert "line 2: a.mp4: it took longer than 1 s" in capsys.readouterr().err
    assert (folder / "b.png").is_file()
    assert not (folder / "a.mp4").exists()
    assert scraps(folder) == []


def test_a_machine_that_is_set_up_otherwise_says_so(folder):
    job = read_jobs(table(folder, [animated("a.mp4")]))[0]
    task = running._task(job, running.BatchSettings())
    far = replace(task, machine="elsewhere")
    gone = replace(far, request=replace(far.request, out=folder / "none" / "a.mp4"))
    assert f"not exist on machine {task.machine}" in work.perform(gone).error
    other = replace(far, sizes=((job.inputs[0], 1),))
    assert "is another file on machine" in work.perform(other).error
    missing = replace(far, sizes=((folder / "none.png", 1),))
    assert "same files under the same paths, as in a shared folder" in work.perform(missing).error
    assert "; install 0.0.0 there" in work.perform(replace(task, version="0.0.0")).error


# ---- processes


def alive(processes, seconds=10.0):
    """The processes that do not end by themselves within some seconds."""
    until = time.monotonic() + seconds
    left = list(processes)
    while left and time.monotonic() < until:
        left = [p for p in left if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]
        time.sleep(0.05)
    return left


@pytest.mark.slow
def test_a_lost_process_costs_a_try_and_a_hanging_one_its_time(tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(cluster, "GRACE", 0.2)
    names = ("calm", "deadly", "once", "hangs", "later")
    lost = []
    with cluster.open_executor(None, 2) as executor:
        items = [(name, tmp_path) for name in names]
        ended = cluster.attempt(
            executor, errand, items, retries=1, seconds=5, on_lost=lambda i: lost.append(i[0])
        )
        told = {item[0]: result for item, result in ended}
        children = psutil.Process().children()
        lines = {one: " ".join(one.cmdline()) for one in children}
    assert {name: told.pop(name) for name in ("calm", "once", "later")} == {
        "calm": "CALM",
        "once": "ONCE",
        "later": "LATER",
    }
    assert isinstance(told["deadly"], WorkerLost)
    assert (told["deadly"].tries, told["deadly"].late) == (2, False)
    assert "exit code 9" in told["deadly"].reason
    assert told["hangs"].late
    assert sorted(lost) == ["deadly", "once"]
    assert capfd.readouterr() == ("", "")
    assert not alive([one for one in children if "spawn_main" in lines[one]])


@pytest.mark.slow
def test_an_error_is_raised_where_the_work_is_shared_out(tmp_path):
    with pytest.raises(InputError, match="this is wrong"):
        list(cluster.each(errand, [("calm", tmp_path), ("wrong", tmp_path)], 2))
    assert dict(cluster.each(errand, [("calm", tmp_path)], 1)) == {("calm", tmp_path): "CALM"}


@pytest.mark.slow
def test_without_ray_plain_processes_do_the_work(folder, monkeypatch, capsys):
    monkeypatch.setattr(over_ray, "find_spec", lambda name: None)
    path = table(folder, [animated("a.gif"), animated("b.png", kind="edit", motion="")])
    assert batch(path, "--workers", "1") == 0
    out, err = capsys.readouterr()
    assert "2 done" in out
    assert "1 process" in out
    assert (
        err
        == "note: plain processes run the jobs: a cluster needs Ray; run: pip install 'gioconda[cluster]'\n"
    )
    assert gioconda.verify(folder / "a.gif").status == "ours"
    assert batch(path, "--ray", "auto", "--again") == 2  # who asks for a cluster is not given less


@pytest.mark.slow
def test_ctrl_c_leaves_nothing_half_made_and_the_same_command_goes_on(folder):
    rows = [animated("first.gif"), *(animated(f"{k}.mp4", motion="idle", size="256") for k in range(2))]
    path = table(folder, rows)
    command = [sys.executable, "-m", "gioconda", "batch", str(path), "--ray", "off", "--workers", "1"]
    with programs.running(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # a shell that runs the tests in the background would hand down an ignored SIGINT
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        until = time.monotonic() + 180
        while not scraps(folder) or not (folder / "first.gif").exists():
            assert time.monotonic() < until
            assert process.poll() is None
            time.sleep(0.02)
        children = psutil.Process(process.pid).children(recursive=True)
        assert children
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=90)
    assert process.returncode == 130
    assert err == "gioconda: stopped\n"
    assert "left; run the same command to continue" in out
    assert not alive(children)
    assert scraps(folder) == []
    made = {entry["out"] for entry in record_of(path)}
    assert "first.gif" in made
    assert {one.name for one in folder.glob("*.mp4")} <= made
    table(folder, rows[:1])
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "0 done, 1 skipped" in done.stdout
