"""Conformance suites for backends, as pytest classes: a backend of anybody's inherits them and gives a few fixtures.

``pip install 'autokd-edge[conformance]'``, then in a test file::

    from autokd_edge.conformance.backend import BackendContract
    from autokd_edge.conformance.fixtures import BackendFixtures

    @pytest.fixture(scope="session")
    def backend(tmp_path_factory): ...  # a ports.Backend

    @pytest.fixture(scope="session")
    def target(): ...  # a core.target.Target whose variants name the backend

    class TestMine(BackendFixtures, BackendContract):
        pass

``ThoroughBackendContract`` asks the same of every operation in every precision, and of more random
students. ``builder``, ``quantizer`` and ``board`` hold the suites of the single ports.
"""
