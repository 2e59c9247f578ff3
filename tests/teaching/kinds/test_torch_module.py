import json
import textwrap
import zipfile

import numpy as np
import pytest
import torch
from teaching.kinds.graphs import module, write_pt2
from teaching.kinds.test_onnx_file import DATA, IMAGES, run

from autokd_edge.errors import TeacherError
from autokd_edge.teaching.teachers import load_teacher


@pytest.mark.slow
def test_an_exported_program_answers_and_has_a_graph_for_the_device(tmp_path):
    network = module()
    write_pt2(tmp_path / "t.pt2", network)
    teacher = load_teacher(str(tmp_path / "t.pt2"), DATA)
    with torch.no_grad():
        assert torch.allclose(teacher.answers()(IMAGES), network(IMAGES), atol=1e-5)
    teacher.write_graph(tmp_path / "device.onnx")
    np.testing.assert_allclose(run(tmp_path / "device.onnx", IMAGES), teacher.answers()(IMAGES).numpy(), atol=1e-4)
    assert teacher.cost.macs == 64 * 4 * 9 + 256 * 3


@pytest.mark.slow
def test_a_program_of_one_batch_size_is_refused(tmp_path):
    write_pt2(tmp_path / "t.pt2", module(), dynamic=False)
    teacher = load_teacher(str(tmp_path / "t.pt2"), DATA)  # written for the two images that it is asked about first
    with pytest.raises(TeacherError, match=r"must answer for batches of images \(5, 1, 8, 8\)"):
        teacher.answers()(IMAGES)


def test_a_pickle_named_pt2_does_not_run(tmp_path):
    torch.save({"a": torch.ones(3)}, tmp_path / "t.pt2")
    with pytest.raises(TeacherError, match="must be a whole exported program"):
        load_teacher(str(tmp_path / "t.pt2"), DATA)


@pytest.mark.parametrize("archive", [False, True])
def test_what_torch_logs_of_a_damaged_program_is_one_line_of_ours(tmp_path, caplog, capfd, archive):
    (tmp_path / "t.pt2").write_text("not an archive")
    if archive:
        with zipfile.ZipFile(tmp_path / "t.pt2", "w") as written:
            written.writestr("archive/x", "1")
    with pytest.raises(TeacherError, match=r"must be a whole exported program; RuntimeError: [A-Z]") as caught:
        load_teacher(str(tmp_path / "t.pt2"), DATA)
    assert "above" not in str(caught.value)
    assert "Traceback" not in caplog.text + capfd.readouterr().err


def write_function(path, body: str) -> str:
    path.write_text("import torch\nfrom torch import nn\n" + textwrap.dedent(body))
    return f"{path}:teacher"


def test_a_function_of_the_users_own_makes_a_teacher(tmp_path):
    name = write_function(
        tmp_path / "mine.py",
        """
        def teacher():
            torch.manual_seed(4)
            return nn.Sequential(nn.Dropout(0.5), nn.Flatten(), nn.Linear(64, 3))
        """,
    )
    teacher = load_teacher(name, DATA)
    first = teacher.answers()(IMAGES)
    assert first.shape == (5, 3)
    assert torch.equal(first, teacher.answers()(IMAGES))  # in evaluation mode: no dropout
    assert (teacher.name, teacher.cost.macs) == ("mine.py:teacher", 192)
    (tmp_path / "mine.card.json").write_text(json.dumps({"mean": [0.0], "std": [1.0]}))
    assert not torch.allclose(load_teacher(name, DATA).answers()(IMAGES), first)


@pytest.mark.parametrize(
    "answer",
    ["torch.linalg.eigh(images[:, 0] @ images[:, 0].mT)[0][:, -3:]", "torch.from_numpy(images.numpy().copy()).flatten(1)[:, :3]"],
    ids=["no such operator", "out of sight of the tracer"],
)
def test_a_module_that_cannot_be_written_as_onnx_still_answers(tmp_path, answer):
    name = write_function(
        tmp_path / "mine.py",
        f"""
        class Own(nn.Module):
            def forward(self, images):
                return {answer}
        def teacher():
            return Own()
        """,
    )
    teacher = load_teacher(name, DATA)
    assert (teacher.write_graph, teacher.cost) == (None, None)
    assert teacher.answers()(IMAGES).shape == (5, 3)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("", "could not be made; AttributeError"),
        ("def teacher():\n    raise KeyError('weights')", "could not be made; KeyError: 'weights'"),
        ("def teacher(:", "could not be made; SyntaxError"),
        ("def teacher():\n    return 3", "must return a torch.nn.Module; it returned int"),
        ("def teacher():\n    return nn.Linear(5, 3)", "must answer for batches of images"),
        ("def teacher():\n    return nn.Conv2d(1, 3, 3)", "must give logits"),
        ("def teacher():\n    return nn.Sequential(nn.Flatten(), nn.Linear(64, 7))", "gives 7 logits"),
    ],
)
def test_a_function_that_gives_no_teacher_of_the_data_is_refused(tmp_path, body, said):
    name = write_function(tmp_path / "mine.py", body)
    with pytest.raises(TeacherError, match=said):
        load_teacher(name, DATA)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(TeacherError, match=r"teacher file must exist; '.*none\.py' does not"):
        load_teacher(f"{tmp_path / 'none.py'}:teacher", DATA)
