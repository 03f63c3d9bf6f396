"""`keyfill sms`: the outbox as phones show it, for whoever holds the outbox key."""

from commands.homefolder import HomeFolder
from gateways.smsoutbox import OutboxGateway
from records import messages
from records.database import Database
from settings import Settings
from tests.support.commandline import Keyfill, Lines

ANA, BEN = "+4917139200001", "+4917139200002"


def send(home: HomeFolder, *sent: tuple[str, str, str]) -> None:
    """Put messages (step, number, text) into the home's outbox, as the ceremony worker does."""
    settings = Settings.for_role("operator", home=home.path)
    database = Database(settings.database)

    def put(step: str, sealed: bytes) -> str:
        with database.write() as session:
            row, _ = messages.outbox_put(session, step, sealed, now=1)
            return str(row.id)

    gateway = OutboxGateway(put, settings.secret("outbox_key"), clock=lambda: 1_800_000_000)
    for step, number, text in sent:
        gateway.send(step, number, text)
    database.close()


def test_messages_are_opened_in_order(home: HomeFolder, lines: Lines) -> None:
    """Every message is shown once, oldest first, with number and text."""
    send(home, ("R1/sms-code/1", ANA, "code 123456"), ("R2/review", BEN, "awaits"))
    shown = lines("sms")
    assert [(one["to"], one["text"]) for one in shown] == [(ANA, "code 123456"), (BEN, "awaits")]
    assert shown[0]["sent_at"] == 1_800_000_000


def test_messages_are_chosen_by_number_and_request(home: HomeFolder, lines: Lines) -> None:
    """--to and --request show only what is meant."""
    send(home, ("R1/a", ANA, "one"), ("R1/b", BEN, "two"), ("R11/a", ANA, "three"))
    assert [one["text"] for one in lines("sms", "--to", ANA)] == ["one", "three"]
    assert [one["text"] for one in lines("sms", "--request", "R1")] == ["one", "two"]


def test_text_output_masks_the_number(home: HomeFolder, keyfill: Keyfill) -> None:
    """For people the number is masked; the text is what the phone would show."""
    send(home, ("R1/a", ANA, "Keyfill SMS code 123456"))
    result = keyfill("sms")
    assert "123456" in result.stdout
    assert ANA not in result.stdout


def test_another_key_opens_nothing(home: HomeFolder, keyfill: Keyfill) -> None:
    """With another outbox key the command fails with exit code 1 and shows nothing."""
    send(home, ("R1/a", ANA, "secret words"))
    (home.secrets("ceremony") / "keyfill_outbox_key").write_text("ab" * 32)
    result = keyfill("sms")
    assert result.exit_code == 1
    assert "secret words" not in result.output


def test_a_deployment_that_sends_has_no_outbox(home: HomeFolder, keyfill: Keyfill) -> None:
    """With Twilio there is nothing to show: exit code 2."""
    del home
    assert keyfill("sms", KEYFILL_SMS_GATEWAY="twilio").exit_code == 2
