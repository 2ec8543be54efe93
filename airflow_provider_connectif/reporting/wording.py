"""Sentences of the task log, in the order of a run.

Sentences about the end of a run are in the table of ``verdict.py``; those about a value are beside its rule. Each line
fits :data:`airflow_provider_connectif.reporting.folding.LINE_LIMIT` with usual names and numbers; details have a line
of their own, indented by two spaces.
"""

from __future__ import annotations

# The beginning

DELIVERING = "Delivering %s to %s%s"
CHECKING = "Checking %s, without sending it to %s%s"
DELETING = "Deleting the contacts in %s at %s%s"
NEXT_ATTEMPT = (
    "Attempt %d of this run: what the journal has as delivered is not sent again\n"
    "  The last changes before a kill may be sent twice: their responses were not recorded"
)
NEXT_ATTEMPT_WITHOUT_JOURNAL = (
    "Attempt %d of this task, without a journal: every row is sent again\n"
    "  With journal_conn_id, a retry sends only what is left"
)
NEW_SYNC = "The journal has no rows of sync %r yet: every row counts as new"

# The source

NO_ROWS = "The source had no rows: if that is unexpected, check the query or the upstream task%s"
ROWS_BEFORE = "Rows in the last complete read: {rows:,}"
MIN_ROWS = "min_rows=1 makes the task fail instead"
MIN_ROWS_IS_A_SHARE = (
    "min_rows sets no limit yet: it is a share of the rows of an earlier read, of which there were none"
)
MIN_ROWS_NEEDS_JOURNAL = "With a journal, min_rows=1 makes the task fail instead"
NO_DRY_RUN_OF_UPSTREAM = "The rows come from an upstream task, which a dry run cannot read: use check_only=True"
NO_DRY_RUN_OF_FUNCTION = "The rows come from a function, which a dry run does not call: use check_only=True"
SCOPE_MISSING = (
    "The field definitions cannot be read (403)\n"
    "  Either the API key does not have the scope %s, or the account is blocked\n"
    "  Consequence: %s\n"
    "  Give the key this scope, or give the operator your own definitions (fields=)"
)
OTHER_OWNER = (
    "Other syncs of this journal have also written consents of this sync in the last 30 days%s\n"
    "  Each sync takes the other's value for the person's own decision, and may not raise it again\n"
    "  Map a consent in one sync only; ignore this if the other sync no longer runs, or has another account"
)
JOURNAL_OPTIONS_LEFT_OUT = (
    "The journal's connection %r has options in its extra that the driver does not know; they are ignored\n"
    "  Options: %s"
)

# Waiting

HELD_BY_ANOTHER_RUN = "Sync {sync} is held by another run: waiting until it ends"
HELD_BY_ANOTHER_RUN_DEFERRED = "Sync {sync} is held by another run: deferred, next check at {again}"
HOLDER = "\n  Held by: {holder}\n  If it was killed, its claim ends at {until}, and then this run continues"
HOLDER_HAS_ENDED = "The sync is no longer held by another run: this run continues"
RATE_LIMIT = "Rate limit: %s; waiting %.0f s, until %s%s"
RATE_LIMIT_DEFERRED = "Rate limit: %s; deferred until %s%s"
PAUSE_DEFERRED = "%s; deferred until %s%s"
CONTINUING = "Continuing after the deferral: %s pending, %s"
CONTINUING_WITHOUT_PLAN = "Continuing after the deferral: %sthe source is read again"
PLAN_OF_ANOTHER_KIND = (
    "The task's operator or key has changed since its changes were stored\n"
    "  Those that were not sent yet are dropped, and the source is read again"
)
DEFERRED_EARLY = "Stopped before this process had loaded the counts; the log before the deferral has them"

# Imports

WRITTEN_INTO_FILES = "Wrote %s, together %s, with %s"
BLANK_TEXTS = (
    "%s blank texts, which an import cannot set\n"
    "  Their other values are imported; a PATCH of the same sync sends the blank texts, too"
)
TOO_MANY_LOOK_UPS = (
    "The source lowered consents of %s, more than the %s that one run looks up at Connectif: it looks up none\n"
    "  Withdrawn consents are sent, consents that were lowered to a middle value are not\n"
    '  %s not raised again by this sync: only a PATCH with resubscribe="always" does that'
)
NO_IMPORT = (
    "The API key cannot import (403), so the plan goes by PATCH: %s\n"
    "  Either the key does not have the scopes Imports: Write and Imports: Read, or the account is blocked\n"
    '  Give the key these scopes, or set via="patch"'
)
NO_PATCH = (
    "The API key cannot write contacts (403), so all contacts of the source are delivered by import\n"
    "  Either the key does not have the scope Contacts: Write, or the account is blocked"
)
NO_PATCH_OF_CONSENTS = (
    "The API key cannot write contacts (403), and only the response to a PATCH allows to raise a consent\n"
    "  Withdrawn consents are sent in the files\n"
    "  %s the person's own from now on: this sync does not raise them later\n"
    "  Give the key the scope Contacts: Write before the next change of a consent"
)
BY_PATCH = "Delivering %s by PATCH"
FOLLOWING_WHO_LEFT = "Carrying out on_removed for the contacts that left the source, by PATCH or DELETE"
UPLOADED = "Import %s: file %d of %d, %s, %s, columns: %s%s"
ALL_UPLOADED = "Uploaded %s: %s for %s\n  Imports: %s"
IMPORT_ENDED = "Import %s: %s; %s, %s taken, %s rejected%s"
NO_ERROR_REPORT = (
    "Import %s: which rows were rejected is not known, since there is no error report: %s\n"
    "  The journal acknowledges no contact of its file, so a later run sends them again"
)
REPORT_NOT_STORED = "Import %s: its error report could not be stored\n  %s"
UNKNOWN_STATE = "Import %s: its state is not documented (%s); waiting for a documented one"
UPLOAD_FAILED = "It is not certain that file %s was uploaded: %s\n  %s"
LAST_UPLOAD = "This attempt of the task does not upload it again"
NEXT_UPLOAD = "Upload {next} of {tries} follows when no import that this upload may have begun is open"
QUEUE_FULL = (
    "Connectif's queue of imports is full: the next upload waits for room\n"
    "  Imports that people start in the Connectif app use the same queue"
)
QUEUE_FULL_DEFERRED = (
    "Connectif's queue of imports is full: the task is deferred, and uploads the other files later\n"
    "  Imports that people start in the Connectif app use the same queue"
)
WAITING_FOR_IMPORTS = "Waiting: %s%s"
WAITING_FOR_LOST_UPLOAD = (
    "Waiting for %s of this account: an earlier upload may have begun one of them\n"
    "  Otherwise its older values could be set last\n"
    "  Imports: %s"
)
IMPORTS_DEFERRED = "Deferred, without a worker, until %s at the latest\n  %s"
PAUSE_TOO_LONG_FOR_WORKER = "Connectif asks for a delay that is too long for a worker"
CONTINUING_IMPORTS = "Continuing with the imports of an earlier process%s"
ONLY_WAITING = "Nothing is read or uploaded: the task only waits for these imports"
UPLOADS_UNKNOWN = "Continuing after a deferral: what was uploaded is no longer known; reading the source again"
EARLIER_ATTEMPT = (
    "An earlier attempt did not deliver everything: its imports must finish, then the source is read again\n  %s"
)
EARLIER_ATTEMPT_LEFT = (
    "An earlier attempt ended before on_removed was carried out for all contacts that left the source\n"
    "  Its imports must finish, then the source is read again\n"
    "  %s"
)
TROUBLE_OF_EARLIER_ATTEMPT = "Earlier attempt: %s\n  This attempt sends its rows again"
TRIGGER_GAVE_UP = "The triggerer cannot poll the imports; the task polls instead\n  %s"
EARLIER_RUN = "This run sends nothing until the imports of an earlier run or attempt have ended\n  Begun by: %s"
EARLIER_RUN_DEFERRED = (
    "Imports of an earlier run or attempt have not ended: deferred, next check at {again}\n  Begun by: {run_id}"
)
EARLIER_RUN_FINISHED = "The imports of the earlier run or attempt have ended%s"
EARLIER_RUN_SETTLED = "Another process has taken over the imports of the earlier run"
TROUBLE_OF_EARLIER_RUN = "Earlier run: %s\n  The rows of this import are sent again if the source still has them"

# Responses

UNCONFIRMED_OTHER = (
    "A %s was sent twice, and both responses show a key that is not its own\n"
    "  It counts as delivered and unconfirmed. Check whether a proxy mixes up responses"
)
UNCONFIRMED_UNSEEN = (
    "A %s was accepted, but the response does not show it\n"
    "  Its stored values cannot be compared: it counts as delivered and unconfirmed"
)
STORED_DIFFERENTLY = (
    "Connectif accepted these properties, but its responses show other values than were sent:%s\n"
    "  They count as delivered, and are sent again only when they change in the source"
)
LOWERED_ALONE = "Withdrawn consents of refused rows were sent: %s"
CONSENT_KEPT = "Not raised, since the consent belongs to the person: %s (consent_kept)"
CANNOT_READ_CONTACTS = (
    "A look-up of a contact was refused (%s), so the values of its consents are not known\n"
    "  Withdrawn consents are sent. This sync does not raise the consents of such contacts later\n"
    "  After a 403, give the API key the scope Contacts: Read"
)

# A check

COST_BY_IMPORT = "By import: %s, at least %s and %s; how long Connectif processes a file is not documented"
COST_BY_PATCH = "By PATCH: %s; at %s, this takes %s"
PATCH_IS_FASTER = (
    "PATCH would be faster: ContactPatchOperator takes the same mapping and keeps the same journal\n"
    "  Leave out the arguments that only an import has, such as timeout and file_layout"
)
EXAMPLE = "Example, row %d, values masked:\n  %s"
CHECKED = "Checked %s, no %s sent: %s"
CHECK_STOPPED = "Stopped early, checked %s, no %s sent: %s"

# The end

REJECTS_INCOMPLETE = (
    "Not all refused rows are in the rejects file: %s\n"
    "  This does not change how the task ends\n"
    "  Before the next run, check the disk or the store, or change rejects_path"
)
SUMMARY_NOT_PUSHED = (
    "The summary cannot be pushed to XCom (%s)\n"
    "  This does not change how the task ends; the counts are in the log\n"
    "  Check the XCom backend, and the connection to Airflow's API server or database"
)
NOT_DELIVERED = "Rows not delivered, by reason:"
NOT_TO_DELIVER = "Rows that would not be delivered, by reason:"
NOT_OVERWRITTEN = (
    "The journal's SQLite file may still contain keys of the people: it is in use, or the disk is full\n"
    "  Run VACUUM on the file later, or clear this task: its next run does that"
)
TOLD_TO_STOP = "Stop requested: {counts}"
BUDGET = "Failure budget: {use}"
REJECTS = "Rejects file: {path}"
ATTEMPTS = "Attempts: {count}; the counts include earlier attempts"
DURATION = "Duration: {duration}"
WAITED_FOR_RATE_LIMIT = "Waited {duration} for the rate limit"
WAITED_FOR_OTHERS = "Waited {duration} for another run of the sync"
RETRIED = "Retried: {failures}"


def details(*lines: str) -> str:
    """Return the lines below a message, each indented; empty ones are left out."""
    return "".join(f"\n  {line}" for line in lines if line)
