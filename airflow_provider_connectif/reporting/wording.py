"""Sentences of the task log, in the order of a run.

Those about a way to end stand beside their table in ``verdict.py``, and those about a value beside its rule. Each line
fits :data:`airflow_provider_connectif.reporting.folding.LINE_LIMIT` with usual names and numbers; details have a line
of their own, indented by two spaces.
"""

from __future__ import annotations

# The beginning

DELIVERING = "Delivering %s to %s%s"
CHECKING = "Checking %s for %s, without sending%s"

# The source

NO_ROWS = "The source had no rows: is there nothing to deliver, or is its query wrong?"
NO_DRY_RUN_OF_UPSTREAM = "The rows come from an upstream task, which a dry run cannot ask: use check_only=True"
NO_DRY_RUN_OF_FUNCTION = "The rows come from a function, which a dry run does not call: use check_only=True"
SCOPE_MISSING = "The API key lacks the scope %s (403), or the account is blocked:\n  %s"
OTHER_OWNER = "Sync %r of this journal writes %s, too\n  Map a consent in one sync only, unless it is another account's"
JOURNAL_OPTIONS_LEFT_OUT = (
    "The journal's connection %r has options in its extra that the driver does not know; they are left out\n"
    "  Options: %s"
)

# Waiting

HELD_BY_ANOTHER_RUN = "Sync {sync} is held by another run: waiting until it ends"
HELD_BY_ANOTHER_RUN_DEFERRED = "Sync {sync} is held by another run: deferred, looking again at {again}"
HOLDER = "\n  Held by: {holder}\n  Its claim ends at {until}, unless that run renews it"
RATE_LIMIT = "Rate limit: %s; waiting %.0f s, until %s%s"
RATE_LIMIT_DEFERRED = "Rate limit: %s; deferred until %s%s"
PAUSE_DEFERRED = "%s; deferred until %s%s"
CONTINUING = "Continuing after the rate limit: %s pending, %s"
CONTINUING_WITHOUT_PLAN = "Continuing after the rate limit: %s the source is read from its first row"
DEFERRED_EARLY = "Stopped before it was known how far the run had come; see where it was deferred"

# Imports

READ_INTO_FILES = "Read %s in %s: %s in %s, together %s"
BLANK_TEXTS = "%s blank texts, which an import leaves out: the journal does not call them delivered"
TOO_MANY_LOOK_UPS = "%s would be looked up, since their consents fall; more than %s are not\n  %s kept from now on"
NO_PATCH = "The API key may not write contacts (403), so that all of them go into files"
NO_PATCH_OF_CONSENTS = (
    "The API key may not write contacts (403): %s kept from now on, since only a PATCH can decide\n"
    "  Give the key the scope Contacts: Write, so that changes of the source can raise consents"
)
BY_PATCH = "Delivering %s by PATCH"
FOLLOWING_WHO_LEFT = "Following the contacts that left the source by request, while Connectif processes the imports"
UPLOADED = "Import %s: file %d of %d, %s, %s, columns: %s%s"
ALL_UPLOADED = "Uploaded %s, %s\n  Imports: %s"
IMPORT_ENDED = "Import %s: %s; of %s %s taken, %s rejected%s"
NO_ERROR_REPORT = "Import %s: its error report could not be downloaded\n  %s"
UNKNOWN_STATE = "Import %s: its state is not documented (%s); waiting for another one"
UPLOAD_FAILED = "A file could not be uploaded: %s\n  %s"
LAST_UPLOAD = "This was the last attempt"
NEXT_UPLOAD = "Attempt {next} of {tries} follows when the imports that began since then have finished"
QUEUE_FULL = "The queue of imports is full, imports of the app included: waiting for room"
QUEUE_FULL_DEFERRED = "The queue of imports is full, imports of the app included: waiting without a worker"
WAITING_FOR_IMPORTS = "Waiting: %s%s"
WAITING_FOR_LOST_UPLOAD = "Waiting for %s of this account: an earlier upload may have begun one of them\n  Imports: %s"
IMPORTS_DEFERRED = "Deferred, without a worker, until %s at the latest\n  %s"
PAUSE_TOO_LONG_FOR_WORKER = "Connectif asks for a delay that is too long for a worker"
CONTINUING_IMPORTS = "Continuing with the imports of an earlier process\n  %s"
UPLOADS_UNKNOWN = "Continuing after a deferral: what was uploaded is no longer known; reading again"
EARLIER_ATTEMPT = "An earlier attempt did not upload everything\n  %s"
TROUBLE_OF_EARLIER_ATTEMPT = "Earlier attempt: %s"
TRIGGER_GAVE_UP = "The triggerer cannot poll the imports; the task polls instead\n  %s"
EARLIER_RUN = "An earlier run has left imports open: waiting for them first\n  Run: %s"
EARLIER_RUN_DEFERRED = "An earlier run has left imports open: deferred, looking again at {again}\n  Run: {run_id}"
EARLIER_RUN_FINISHED = "The imports of the earlier run have finished\n  %s, %s rejected"
EARLIER_RUN_SETTLED = "Another task of this run has settled them"
TROUBLE_OF_EARLIER_RUN = "Earlier run: %s"

# Responses

UNCONFIRMED_OTHER = (
    "A %s was accepted twice with a response that shows another one\n"
    "  It counts as delivered, and as unconfirmed. Is there a proxy that mixes up responses?"
)
UNCONFIRMED_UNSEEN = (
    "A %s was accepted with a response that does not show it\n"
    "  What Connectif stored cannot be compared: it counts as delivered, and as unconfirmed"
)
STORED_DIFFERENTLY = "Connectif accepted these properties, and its responses show something else than was sent:%s"
CANNOT_READ_CONTACTS = (
    "The API key may not read contacts (%s): consents that need a look-up are kept\n"
    "  Give the key the scope Contacts: Read, so that changes of the source can raise them"
)

# A check

COST_BY_REQUEST = "A run takes %s: at %s a minute %s"
COST_BY_IMPORT = "By import: %s, at least %s and %s; how long Connectif processes a file is not documented"
COST_BY_PATCH = "By PATCH: %s, at %s %s"
PATCH_IS_FASTER = "PATCH would be faster: ContactPatchOperator takes the same arguments and keeps the same journal"
EXAMPLE = "Example, row %d, values masked:\n  %s"
CHECKED = "Checked %s, no %s sent: %s"
CHECK_STOPPED = "Stopped early, checked %s, no %s sent: %s"

# The end

NOT_DELIVERED = "Not delivered, and why:"
NOT_OVERWRITTEN = (
    "The people are deleted, but the SQLite file of the journal is in use and may still have their keys\n"
    "  Run VACUUM on it, or clear this task"
)
TOLD_TO_STOP = "Told to stop: {counts}"
BUDGET = "Failure budget: {use}"
REJECTS = "Rows that were not delivered: {path}"
ATTEMPTS = "Attempts: {count}"
DURATION = "Duration: {duration}"
WAITED_FOR_RATE_LIMIT = "Waited {duration} for the rate limit"
WAITED_FOR_OTHERS = "Waited {duration} for another run of the sync"
RETRIED = "Retried: {failures}"


def details(*lines: str) -> str:
    """Lines that stand below a message, each indented; empty ones are left out."""
    return "".join(f"\n  {line}" for line in lines if line)
