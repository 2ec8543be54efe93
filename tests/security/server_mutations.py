# ruff: noqa: F821 - names are those of the modules that are mutated
"""What a server could try: each defence taken out. See :mod:`tests.support.mutations`."""

from __future__ import annotations

from tests.support.mutations import Mutations

SERVER = Mutations()


@SERVER.instead_of("api.transport:Transport.__init__", "test_server.py::test_a_redirect_is_not_followed")
def redirects_are_followed(original, self, *given, **named):
    original(self, *given, **named)
    send = self._session.send
    self._session.send = lambda prepared, **options: send(prepared, **options | {"allow_redirects": True})
    self._session.get_redirect_target = lambda response: response.headers.get("location")


@SERVER.instead_of(
    "api.session:Session.get_redirect_target",
    "test_server.py::test_a_redirect_is_read_like_any_other_response",
    "test_server.py::test_a_redirect_to_an_address_that_cannot_be_read_is_one",
)
def requests_reads_redirects(original, self, resp):
    return requests.Session.get_redirect_target(self, resp)


@SERVER.instead_of("api.transport:origin", "test_server.py::test_a_next_page_on_another_host_is_not_asked_for")
def all_hosts_are_one(original, url):
    return ("https", None, None)


SERVER.value(
    "pages end late", "api.client:_MOST_FIELD_PAGES", "1000", "test_server.py::test_pages_without_an_end_have_one"
)


@SERVER.instead_of(
    "api.error_reports:open_keyless_session", "test_server.py::test_an_error_report_is_fetched_without_the_key"
)
def reports_are_fetched_with_a_key(original, *given, **named):
    session = original(*given, **named)
    session.headers["Authorization"] = "apiKey test-id:test-secret"
    return session


@SERVER.instead_of(
    "api.error_reports:is_loopback", "test_server.py::test_an_error_report_over_plain_http_is_not_fetched"
)
def every_machine_is_this_one(original, name):
    return True


SERVER.value(
    "answers may be huge", "api.transport:LARGEST_BODY", "10**12", "test_server.py::test_a_huge_answer_is_given_up_on"
)


@SERVER.instead_of("api.transport:_read", "test_server.py::test_a_body_that_trickles_in_has_a_deadline")
def bodies_have_no_deadline(original, response, within_s):
    return original(response, 10_000.0)


@SERVER.instead_of("api.connections:_Deadline.__init__", "test_server.py::test_a_head_that_never_ends_has_a_deadline")
def heads_have_no_deadline(original, self, raw, sock, within_s):
    original(self, raw, sock, within_s)
    self._until = None


@SERVER.instead_of("api.session:open_keyless_session", "test_server.py::test_no_packed_answer_is_asked_for")
def packed_answers_are_asked_for(original, *given, **named):
    session = original(*given, **named)
    session.headers["Accept-Encoding"] = "gzip"
    return session


@SERVER.instead_of(
    "api.transport:check_encoding",
    "test_server.py::test_an_answer_that_is_packed_twice_or_oddly_is_not_unpacked",
    "test_server.py::test_an_error_report_that_is_packed_twice_is_not_unpacked",
)
def every_packing_is_unpacked(original, response):
    return None


@SERVER.instead_of(
    "api.error_reports:pieces_of",
    "test_server.py::test_a_packed_error_report_that_is_cut_off_is_not_taken_for_the_whole_one",
)
def the_half_of_a_packed_report_is_taken(original, response):
    while piece := response.raw.read1(64 * 1024, decode_content=True):
        yield piece


SERVER.value(
    "what is nested deep is looked at",
    "api.session:_DEEPEST",
    "10**6",
    "test_server.py::test_an_error_that_is_nested_deep_is_an_error_like_others",
)


@SERVER.instead_of(
    "api.session:KeyScrubber.__call__",
    "test_server.py::test_a_key_that_the_server_echoes_is_taken_out",
    "test_server.py::test_a_pickled_error_holds_no_key",
)
def a_key_that_is_echoed_stays(original, self, said, depth):
    return said


@SERVER.instead_of("api.session:Session.send_once", "test_server.py::test_cookies_are_not_kept")
def cookies_are_kept(original, self, method, url, headers, body, timeout):
    self.cookies.set_policy(DefaultCookiePolicy())
    return self.request(method, url, headers=headers, data=body, timeout=timeout, allow_redirects=False, stream=True)


SERVER.value(
    "windows may be endless",
    "api.rate_headers:_LONGEST_WINDOW_S",
    "float('inf')",
    "test_server.py::test_a_server_cannot_ask_to_be_left_alone_for_a_year",
)


@SERVER.instead_of(
    "api.session:_NoSecretPaths.filter", "test_server.py::test_headers_that_cannot_be_read_are_not_quoted"
)
def odd_headers_are_logged(original, self, record):
    return True if record.exc_info else original(self, record)


@SERVER.instead_of(
    "api.transport:describe_failure", "test_server.py::test_a_broken_connection_is_told_without_the_contact"
)
def transport_errors_are_quoted(original, error, timeouts):
    return str(error)


@SERVER.instead_of(
    "reporting.concealment:Concealer._without_values",
    "test_server.py::test_values_that_the_server_echoes_are_taken_out_of_reasons",
)
def values_are_shown_in_reasons(original, self, text, *, is_quoted, room):
    return text


SERVER.value(
    "reasons are read to their end",
    "reporting.concealment:_LONGEST_SAID",
    "10**9",
    "test_server.py::test_a_long_reason_costs_no_time",
)


@SERVER.instead_of("reporting.reasons:_shorten", "test_server.py::test_a_reason_cannot_forge_a_line_of_the_log")
def reasons_keep_their_line_breaks(original, text):
    return text[:LONGEST_REASON]


@SERVER.instead_of(
    "contacts.fields:did_you_mean", "test_server.py::test_the_name_of_a_field_cannot_forge_a_line_of_the_log"
)
def names_that_are_suggested_keep_their_line_breaks(original, name, known):
    by_folded = {str(candidate).casefold(): str(candidate) for candidate in known}
    close = difflib.get_close_matches(name.casefold(), by_folded, n=1, cutoff=0.7)
    return f' (did you mean "{by_folded[close[0]]}"?)' if close else ""


@SERVER.instead_of("contacts.fields:_number", "test_server.py::test_a_definition_with_odd_limits_is_read_without_them")
def limits_may_be_infinite(original, value):
    return float(value) if isinstance(value, (int, float, str)) else original(value)


@SERVER.instead_of("api.session:open_keyless_session", "test_server.py::test_a_certificate_of_nobody_is_not_accepted")
def certificates_are_not_checked(original, *given, **named):
    session = original(*given, **named)
    session.verify = False
    return session
