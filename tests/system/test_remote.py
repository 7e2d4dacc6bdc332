"""The object store: what was paused on a machine that is lost goes on on another."""

import subprocess

from e2b_code_interpreter import Sandbox

from server import Server, environment, wait_until

DURABLE_REMOTE = {"Overwinter-Durability": "durable-remote"}


def import_into(server: Server) -> subprocess.CompletedProcess[str]:
    """Runs `overwinter import` on a server's data directory and store."""
    return subprocess.run(
        server.command("import", *server.arguments),
        env=server.environ(), capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip


def test_another_machine_takes_the_paused_sandboxes_over(tmp_path, new_sandbox):
    # Not kept in memory, which would outlive the server.
    arguments = ["--remote-url", f"file://{tmp_path / 'store'}", "--frozen-for", "0s"]
    with Server(arguments=arguments) as lost:
        with environment(lost.client_environment()):
            sandbox = new_sandbox()
            sandbox.files.write("/home/user/kept", "kept")
            sandbox.commands.run("sleep 86399", background=True)
            name = sandbox.sandbox_id
            status, headers, body = lost.request(
                "POST", f"/sandboxes/{name}/pause", headers=DURABLE_REMOTE
            )
            assert status < 300, body
            assert headers["Overwinter-Durability"] == "durable-remote"
            refused = import_into(lost)
            assert refused.returncode != 0
            assert "stop the server first" in refused.stderr
        lost.stop()
        with Server(arguments=arguments) as other:
            other.stop()
            imported = import_into(other)
            assert imported.returncode == 0, imported.stderr
            assert "1 imported, 0 known" in imported.stdout
            assert "0 imported, 1 known" in import_into(other).stdout
            other.start()
            with environment(other.client_environment()):
                back = Sandbox.connect(name)
                assert back.files.read("/home/user/kept") == "kept"
                assert back.commands.run("pgrep -f '^sleep 86399$'").stdout.strip()
                back.kill()
            home = tmp_path / "store" / "sandboxes" / name
            wait_until("it leaves the store", lambda: not home.exists())
