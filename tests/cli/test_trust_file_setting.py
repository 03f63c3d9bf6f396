"""What officers sign by is the trust file that the deployment is told to use."""

from pathlib import Path

import pytest

from commands.homefolder import HomeFolder
from tests.support.commandline import Keyfill

COMMANDS = {
    "keys revoke": ["keys", "revoke", "A" * 24, "--terminal", "ATM-0001", "--reason", "lost"],
    "officers revoke": ["officers", "revoke", "ana", "--seq", "3", "--reason", "lost-phone"],
    "officers allow-removal": ["officers", "allow-removal", "--most", "3"],
}


@pytest.mark.parametrize("name", COMMANDS)
def test_officers_sign_by_the_trust_file_of_the_settings(
    home: HomeFolder, keyfill: Keyfill, tmp_path: Path, name: str
) -> None:
    """KEYFILL_TRUST_FILE counts for them as for who sends; --trust counts above both."""
    key, elsewhere, out = home.officers / "officer-1.jwk", tmp_path / "trust.json", tmp_path / "out"
    home.trust_file.rename(elsewhere)
    yes = [] if "removal" in name else ["--yes"]
    command = [*COMMANDS[name], *yes, "--key", f"{key}", "--out", f"{out}"]
    assert keyfill(*command).exit_code == 2
    for trust, wanted in ((f"{elsewhere}", 0), (f"{tmp_path / 'nowhere'}", 2)):
        out.unlink(missing_ok=True)
        result = keyfill(*command, KEYFILL_TRUST_FILE=trust)
        assert (result.exit_code, out.exists()) == (wanted, wanted == 0), result.output
    named = [*command, "--trust", f"{elsewhere}"]
    assert keyfill(*named, KEYFILL_TRUST_FILE=f"{tmp_path / 'nowhere'}").exit_code == 0
