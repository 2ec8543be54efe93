# ruff: noqa: F821 - names are those of the modules that are mutated
"""Each defence taken out, one at a time: the test that guards it must fail then. See :mod:`tests.support.mutations`.

What a server could try is in :mod:`tests.security.server_mutations`. A test without an entry here or there is not taken
for a proof.
"""

from __future__ import annotations

from tests.security.server_mutations import SERVER
from tests.support.mutations import Mutation, Mutations

OTHERS = Mutations()

# What a row could try


@OTHERS.instead_of(
    "api.client:path_segment",
    "test_rows.py::test_a_contact_key_stays_one_segment_of_the_path",
    "test_rows.py::test_a_contact_key_of_dots_is_not_sent",
    "test_rows.py::test_a_contact_key_cannot_become_a_header",
)
def keys_go_into_the_path_as_they_are(original, key):
    return key


@OTHERS.instead_of("contacts.rules.addresses:external_id", "test_rows.py::test_a_contact_key_has_no_control_characters")
def external_ids_may_have_control_characters(original, value):
    return original(value) if value.isprintable() else value


@OTHERS.instead_of("imports.layout:Lines.__init__", "test_rows.py::test_a_cell_of_an_import_cannot_become_another_row")
def cells_are_not_quoted(original, self, mapping, delimiter, types=None):
    original(self, mapping, delimiter, types)
    self._encoded = lambda cells: (delimiter.join(cells) + "\r\n").encode()


@OTHERS.instead_of("reporting.rejects:jsonable", "test_rows.py::test_a_row_that_holds_itself_is_written_once")
def rows_are_written_however_deep(original, value, depth=0):
    if isinstance(value, Mapping):
        return {key: jsonable(item) for key, item in value.items()}
    return [jsonable(item) for item in value] if isinstance(value, (list, tuple)) else original(value)


@OTHERS.instead_of("reporting.rejects:Rejects.write", "test_rows.py::test_a_formula_reaches_no_spreadsheet")
def rejects_are_a_csv(original, self, number, key, outcome, status, reasons, row):
    self._sink.write(",".join(map(str, (number, key, outcome, status, reasons, row))) + "\n")


# Where the key and a contact could get out


@OTHERS.instead_of(
    "api.credentials:ApiKey.parse", "test_secrets.py::test_a_key_cannot_become_a_header_and_is_not_quoted"
)
def a_key_may_have_a_line_break(original, login, password):
    key_id, _, secret = (password if not login else f"{login}:{password}").partition(":")
    return ApiKey(key_id, secret)


@OTHERS.instead_of("api.credentials:ApiKey.__repr__", "test_secrets.py::test_the_key_is_in_no_repr")
def a_key_shows_its_secret(original, self):
    return f"ApiKey({self.secret!r})"


@OTHERS.instead_of("api.credentials:is_loopback", "test_secrets.py::test_plain_http_is_refused_but_for_this_machine")
def plain_http_goes_everywhere(original, name):
    return True


@OTHERS.instead_of("api.credentials:base_url", "test_secrets.py::test_a_user_in_the_host_is_refused")
def a_host_may_have_a_user(original, host, port=None):
    try:
        return original(host, port)
    except ConnectifConfigError:
        return host


@OTHERS.instead_of("api.network_settings:is_loopback", "test_secrets.py::test_no_proxy_carries_plain_http_elsewhere")
def no_address_is_local(original, name):
    return False


@OTHERS.instead_of("api.session:open_keyless_session", "test_secrets.py::test_a_netrc_gives_no_credentials_away")
def sessions_read_the_environment(original, *given, **named):
    session = original(*given, **named)
    session.trust_env = True
    return session


@OTHERS.instead_of("api.session:_NoSecretPaths.filter", "test_secrets.py::test_debugging_tells_no_contact")
def paths_of_contacts_are_logged(original, self, record):
    return True


@OTHERS.instead_of("api.session:hidden_in_logs", "test_secrets.py::test_debugging_tells_no_signed_address")
def signed_addresses_are_logged(original, path):
    return contextmanager(lambda: iter([None]))()


OTHERS.value(
    "http.client prints what it sends",
    "api.connections:_Connection.debuglevel",
    "property(lambda self: http.client.HTTPConnection.debuglevel, lambda self, level: None)",
    "test_secrets.py::test_the_debug_switch_of_http_client_prints_no_key",
)

# What could be tried with the journal


@OTHERS.instead_of(
    "journal.reader:LineReader._seen",
    "test_journal.py::test_a_contact_key_is_no_part_of_a_statement",
    "test_journal.py::test_a_sync_id_is_no_part_of_a_statement",
)
def keys_are_written_into_the_statement(original, self, keys):
    listed = "','".join(keys)
    text = (
        "select contact_key, row_digest from connectif_journal where sync_id = '"
        f"{self._sync_id}' and contact_key in ('{listed}')"
    )
    return dict(self._database.read(lambda connection: connection.execute(sa.text(text)).fetchall()))


@OTHERS.instead_of(
    "journal.tables:JournalTables.__init__", "test_journal.py::test_the_name_of_a_table_is_no_part_of_a_statement"
)
def names_of_tables_are_not_quoted(original, self, name, schema):
    original(self, sa.sql.quoted_name(name, False), schema)


@OTHERS.instead_of(
    "journal.tables:JournalTables.__init__", "test_journal.py::test_the_name_of_a_schema_is_no_part_of_a_statement"
)
def names_of_schemas_are_not_quoted(original, self, name, schema):
    original(self, name, schema and sa.sql.quoted_name(schema, False))


@OTHERS.instead_of(
    "journal.plan:Plan.__init__", "test_journal.py::test_pending_patches_are_encrypted_where_keys_are_digests"
)
def pending_patches_are_in_clear(original, self, *given, **named):
    original(self, *given, **named)
    self._payloads._fernet = None


@OTHERS.instead_of("journal.line_writer:key_digester", "test_journal.py::test_keys_are_digests_with_a_secret")
def keys_are_in_clear(original, secret):
    return original(None)


@OTHERS.instead_of("journal.plan:Plan.drop", "test_journal.py::test_pending_patches_go_with_their_task")
def plans_stay(original, self):
    return None


@OTHERS.instead_of(
    "journal.database:JournalDatabase.guarded", "test_journal.py::test_an_error_of_the_database_quotes_no_key"
)
def errors_of_the_journal_are_quoted(original, self, action, final_kinds=()):
    try:
        return action()
    except sa.exc.SQLAlchemyError as error:
        raise JournalError(f"the journal's database failed ({error})") from None


# What could be tried by way of Airflow

OTHERS.value(
    "rows are templates",
    "operators.sync_arguments:SyncArguments.template_fields",
    '("rows", *original)',
    "test_task.py::test_a_template_in_a_row_stays_text",
)


@OTHERS.instead_of(
    "operators.rejects_file:RejectsFile.__init__", "test_task.py::test_the_path_of_rejects_does_not_climb"
)
def paths_of_rejects_may_climb(original, self, path):
    original(self, path.replace("..", "__"))
    self._path = ObjectStoragePath(path)


@OTHERS.instead_of("operators.rejects_file:_make_private", "test_task.py::test_the_file_of_rejects_is_its_owner_s")
def everybody_may_read_rejects(original, path):
    path.parent.mkdir(parents=True, exist_ok=True)


OTHERS.value(
    "connections of every type will do",
    "hooks.connectif:_CONNECTION_TYPES",
    '(*original, "aws")',
    "test_task.py::test_the_password_of_another_kind_of_connection_is_not_sent",
)


@OTHERS.instead_of("hooks.connectif:mask_secret", "test_task.py::test_the_secret_is_masked_also_where_it_stands_alone")
def nothing_is_masked(original, *given):
    return None


@OTHERS.instead_of(
    "triggers.window:WindowTrigger.serialize", "test_task.py::test_a_trigger_holds_a_moment_and_nothing_else"
)
def a_trigger_takes_the_key_along(original, self):
    path, arguments = original(self)
    return path, {**arguments, "key": "id:secret"}


OTHERS.value(
    "all words of a database are told",
    "databases.error_rules:OTHER_ERRORS",
    'ErrorRules(**{**vars(original), "may_be_shown": lambda _: True})',
    "test_task.py::test_a_database_s_words_about_a_row_are_not_told",
)


@OTHERS.instead_of(
    "triggers.claim:ClaimTrigger.serialize",
    "test_task.py::test_a_trigger_that_waits_for_another_run_holds_a_moment_and_counts",
)
def a_trigger_for_a_claim_takes_the_key_along(original, self):
    path, arguments = original(self)
    return path, {**arguments, "key": "id:secret"}


@OTHERS.instead_of("databases.journals:_engine", "test_task.py::test_a_journal_s_statements_are_logged_without_values")
def values_of_statements_are_logged(original, hook, conn_id, access):
    engine = original(hook, conn_id, access)
    engine.hide_parameters = False
    return engine


OTHERS.added(
    "a module can run what it reads",
    "journal.plan",
    "import pickle",
    "test_task.py::test_nothing_is_made_out_of_bytes_but_data",
)

# What could reach who develops with the sandbox


@OTHERS.instead_of("look.markup:escape", "test_sandbox.py::test_a_value_is_text_on_the_page")
def values_are_html(original, s, **named):
    return s


@OTHERS.instead_of("sandbox.server:listen", "test_sandbox.py::test_nobody_else_can_reach_it")
def everybody_can_reach_the_sandbox(original, host, port):
    return original("127.0.0.1", port)


MUTATIONS: list[Mutation] = [*SERVER, *OTHERS]
