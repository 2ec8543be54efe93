# ruff: noqa: E501 - a table whose cells are lines of code
"""Each defence taken out, one at a time: the test that guards it must fail then.

``test_threat_model.py`` copies the package, replaces ``old`` (which stands once in ``file``) by ``new`` and runs the
test. A test without an entry here is not taken for a proof.
"""

from __future__ import annotations

from typing import NamedTuple


class Mutation(NamedTuple):
    """A defence of the package and what it is without."""

    test: str
    file: str
    old: str
    new: str


_SELECT_AS_TEXT = (
    'sa.text("select contact_key, row_digest from "'
    ' "connectif_journal where sync_id = \'" + self._sync_id + "\' and contact_key in (\'"'
    ' + "\',\'".join(keys) + "\')")'
)
_NEVER = "if False:"

MUTATIONS = tuple(
    Mutation(*entry)
    for entry in (
        # what a server could try
        ("test_server.py::test_a_redirect_is_not_followed", "api/transport.py", "allow_redirects=False", "allow_redirects=True"),
        ("test_server.py::test_a_next_page_on_another_host_is_not_asked_for", "api/transport.py", "if origin(target) != origin(base):", _NEVER),
        ("test_server.py::test_pages_without_an_end_have_one", "api/client.py", "_MOST_FIELD_PAGES = 100", "_MOST_FIELD_PAGES = 1000"),
        ("test_server.py::test_an_error_report_is_fetched_without_the_key", "api/error_reports.py", "closing(open_keyless_session(address, transport.verify)) as session", "closing(transport._session) as session"),
        ("test_server.py::test_an_error_report_over_plain_http_is_not_fetched", "api/error_reports.py", 'if target.scheme != "https" and not (target.scheme == "http" and on_this_machine):', _NEVER),
        ("test_server.py::test_a_huge_answer_is_given_up_on", "api/transport.py", "if len(content) > LARGEST_BODY:", _NEVER),
        ("test_server.py::test_a_body_that_trickles_in_has_a_deadline", "api/transport.py", "if time.monotonic() > deadline:", _NEVER),
        ("test_server.py::test_a_head_that_never_ends_has_a_deadline", "api/connections.py", "        self.fp = io.BufferedReader(self._deadline)", "        self.fp = sock.makefile('rb')"),
        ("test_server.py::test_no_packed_answer_is_asked_for", "api/session.py", '"Accept-Encoding": "identity",', ""),
        ("test_server.py::test_an_answer_that_is_packed_twice_or_oddly_is_not_unpacked", "api/transport.py", "    check_encoding(response)\n    content = bytearray()", "    content = bytearray()"),
        ("test_server.py::test_an_error_report_that_is_packed_twice_is_not_unpacked", "api/error_reports.py", "            check_encoding(response)\n            part", "            part"),
        ("test_server.py::test_an_error_that_is_nested_deep_is_an_error_like_others", "api/session.py", "if depth > _DEEPEST:", _NEVER),
        ("test_server.py::test_a_key_that_the_server_echoes_is_taken_out", "api/bodies.py", "body = without_key(decoded_json(content))", "body = decoded_json(content)"),
        ("test_server.py::test_a_pickled_error_holds_no_key", "api/bodies.py", "body = without_key(decoded_json(content))", "body = decoded_json(content)"),
        ("test_server.py::test_cookies_are_not_kept", "api/session.py", "session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))", "pass"),
        ("test_server.py::test_a_server_cannot_ask_to_be_left_alone_for_a_year", "api/rate_headers.py", "min(retry_after, _LONGEST_WINDOW_S)", "retry_after"),
        ("test_server.py::test_headers_that_cannot_be_read_are_not_quoted", "api/session.py", "if record.exc_info:", _NEVER),
        ("test_server.py::test_a_broken_connection_is_told_without_the_contact", "api/transport.py", "failure = describe_failure(error, patience)", "failure = str(error)"),
        ("test_server.py::test_values_that_the_server_echoes_are_taken_out_of_reasons", "reporting/concealment.py", "if not words and self._is_of_the_row(text, token, is_quoted):", _NEVER),
        ("test_server.py::test_a_long_reason_costs_no_time", "reporting/concealment.py", "_decoded(said[:_LONGEST_SAID])", "_decoded(said)"),
        ("test_server.py::test_a_reason_cannot_forge_a_line_of_the_log", "reporting/reasons.py", 'character if character.isprintable() else " "', "character"),
        ("test_server.py::test_the_name_of_a_field_cannot_forge_a_line_of_the_log", "contacts/fields.py", " if str(candidate).isprintable()", ""),
        ("test_server.py::test_a_definition_with_odd_limits_is_read_without_them", "contacts/fields.py", "return number if math.isfinite(number) else None", "return number"),
        ("test_server.py::test_a_certificate_of_nobody_is_not_accepted", "api/session.py", "session.verify = settings.verify", "session.verify = False"),
        # what a row could try
        ("test_rows.py::test_a_contact_key_stays_one_segment_of_the_path", "api/client.py", 'return quote(key, safe="")', "return key"),
        ("test_rows.py::test_a_contact_key_of_dots_is_not_sent", "api/client.py", 'if key in ("", ".", ".."):', _NEVER),
        ("test_rows.py::test_a_contact_key_cannot_become_a_header", "api/client.py", 'return quote(key, safe="")', "return key"),
        ("test_rows.py::test_a_contact_key_has_no_control_characters", "contacts/rules/addresses.py", "if not identifier.isprintable():", _NEVER),
        ("test_rows.py::test_a_cell_of_an_import_cannot_become_another_row", "imports/layout.py", "if '\"' in cell or \"\\n\" in cell or \"\\r\" in cell or self.delimiter in cell:", _NEVER),
        ("test_rows.py::test_a_formula_reaches_no_spreadsheet", "reporting/rejects.py", 'json.dumps(line, allow_nan=False) + "\\n"', '",".join(map(str, line.values())) + "\\n"'),
        ("test_rows.py::test_a_row_that_holds_itself_is_written_once", "reporting/rejects.py", " and depth >= _DEEPEST:", " and False:"),
        # where the key and a contact could get out
        ("test_secrets.py::test_a_key_cannot_become_a_header_and_is_not_quoted", "api/credentials.py", 'if any(not "!" <= character <= "~" for character in whole):', _NEVER),
        ("test_secrets.py::test_the_key_is_in_no_repr", "api/credentials.py", "secret: str = field(repr=False)", "secret: str"),
        ("test_secrets.py::test_plain_http_is_refused_but_for_this_machine", "api/credentials.py", 'if parts.scheme == "http" and not is_loopback(name):', _NEVER),
        ("test_secrets.py::test_a_user_in_the_host_is_refused", "api/credentials.py", "if parts.username is not None or parts.password is not None or parts.query or parts.fragment:", _NEVER),
        ("test_secrets.py::test_no_proxy_carries_plain_http_elsewhere", "api/network_settings.py", '{} if is_local else dict(settings["proxies"])', 'dict(settings["proxies"])'),
        ("test_secrets.py::test_a_netrc_gives_no_credentials_away", "api/session.py", "session.trust_env = False", "session.trust_env = True"),
        ("test_secrets.py::test_debugging_tells_no_contact", "api/session.py", 'shown = self._path.sub(r"\\1***", message) if "/contacts/" in message else message', "shown = message"),
        ("test_secrets.py::test_debugging_tells_no_signed_address", "api/session.py", 'shown = shown.replace(path, "/***")', "pass"),
        ("test_secrets.py::test_the_debug_switch_of_http_client_prints_no_key", "api/connections.py", "past every logger and every mask.\n    debuglevel = 0", ""),
        # what could be tried with the journal
        ("test_journal.py::test_a_contact_key_is_no_part_of_a_statement", "journal/reader.py", "connection.execute(query, parameters)", f"connection.execute({_SELECT_AS_TEXT})"),
        ("test_journal.py::test_a_sync_id_is_no_part_of_a_statement", "journal/reader.py", "connection.execute(query, parameters)", f"connection.execute({_SELECT_AS_TEXT})"),
        ("test_journal.py::test_the_name_of_a_table_is_no_part_of_a_statement", "journal/tables.py", "        self.metadata = sa.MetaData(schema=schema)", "        name = sa.sql.quoted_name(name, False)\n        self.metadata = sa.MetaData(schema=schema)"),
        ("test_journal.py::test_the_name_of_a_schema_is_no_part_of_a_statement", "journal/tables.py", "sa.MetaData(schema=schema)", "sa.MetaData(schema=schema and sa.sql.quoted_name(schema, False))"),
        ("test_journal.py::test_pending_patches_are_encrypted_where_keys_are_digests", "journal/payloads.py", "self._fernet = None if key_secret is None else _fernet(key_secret)", "self._fernet = None"),
        ("test_journal.py::test_keys_are_digests_with_a_secret", "journal/store.py", "self._written_key = key_digester(settings.key_secret)", "self._written_key = key_digester(None)"),
        ("test_journal.py::test_pending_patches_go_with_their_task", "journal/store.py", "self.plan.drop()", "pass"),
        ("test_journal.py::test_an_error_of_the_database_quotes_no_key", "journal/database.py", 'words = type(cause or error).__name__ + (f", SQLSTATE {state}" if state else "")', "words = str(error)"),
        # what could be tried by way of Airflow
        ("test_task.py::test_a_template_in_a_row_stays_text", "operators/sync_arguments.py", '        "sql",\n        "parameters",', '        "rows",\n        "sql",\n        "parameters",'),
        ("test_task.py::test_the_path_of_rejects_does_not_climb", "operators/rejects_file.py", 'if ".." in path.replace("\\\\", "/").split("/"):', _NEVER),
        ("test_task.py::test_the_file_of_rejects_is_its_owner_s", "operators/rejects_file.py", "os.close(os.open(path.path, os.O_CREAT | os.O_WRONLY, 0o600))", "pass"),
        ("test_task.py::test_the_password_of_another_kind_of_connection_is_not_sent", "hooks/connectif.py", "if connection.conn_type not in _CONNECTION_TYPES:", _NEVER),
        ("test_task.py::test_the_secret_is_masked_also_where_it_stands_alone", "hooks/connectif.py", "mask_secret(key.secret)", "pass"),
        ("test_task.py::test_a_trigger_holds_a_moment_and_nothing_else", "triggers/window.py", '{"until": self.until}', '{"until": self.until, "key": "id:secret"}'),
        ("test_task.py::test_a_database_s_words_about_a_row_are_not_told", "databases/read_errors.py", "    if is_telling:\n", "    if True:\n"),
        ("test_task.py::test_a_journal_s_statements_are_logged_without_values", "databases/journals.py", "hide_parameters=True", "hide_parameters=False"),
        ("test_task.py::test_nothing_is_made_out_of_bytes_but_data", "journal/payloads.py", "import hashlib\nimport json", "import hashlib\nimport json\nimport pickle"),
        # what could reach who develops with the sandbox
        ("test_sandbox.py::test_a_value_is_text_on_the_page", "sandbox/page.py", 'return escape(text if len(text) <= _LONGEST_VALUE else text[:_LONGEST_VALUE] + "…")', "return text"),
        ("test_sandbox.py::test_nobody_else_can_reach_it", "sandbox/server.py", "if not address.is_loopback:", _NEVER),
    )
)  # fmt: skip
