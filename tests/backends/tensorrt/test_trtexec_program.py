"""The program that a board runs keeps to the Python of JetPack 4."""

import ast

from autokd_edge.backends.tensorrt.trtexec import PROGRAM


def test_the_program_is_python_3_6_and_its_standard_library():
    tree = ast.parse(PROGRAM.read_text(), feature_version=(3, 6))
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert imported == {"contextlib", "ctypes", "json", "os", "shutil", "signal", "subprocess", "sys", "tempfile", "time", "typing"}
    # Syntax that ast lets through: 3.8 and 3.9 brought these names.
    assert not {"removeprefix", "removesuffix"} & {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
