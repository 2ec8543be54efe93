"""The sandbox's additions to the pages' style sheet. They are in a Python module, so that every wheel contains them."""

from airflow_provider_connectif.look.style import STYLE as LOOK

STYLE = f"""{LOOK}
.columns{{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,340px),1fr));gap:0 32px}}
.columns>section{{min-width:0}}
pre{{background:var(--panel);border:1px solid var(--line);border-radius:8px;padding:10px 14px;margin:.4em 0;
white-space:pre-wrap;overflow-wrap:anywhere;font:13px/1.5 ui-monospace,monospace;user-select:all}}
.figure{{font-size:1.5rem;font-weight:600;margin:.2em 0}}.figure small{{font-size:.95rem;font-weight:400;
color:var(--quiet)}}
svg.windows{{width:100%;max-width:600px;height:90px;display:block;margin:.4em 0}}
.limit{{stroke:var(--quiet);stroke-width:1;stroke-dasharray:3 3}}
summary{{cursor:pointer;padding:6px 0}}
.sent{{display:flex;flex-wrap:wrap;gap:2px 16px;margin:0}}.sent div{{display:flex;gap:6px;min-width:0}}
.sent dt{{color:var(--quiet);flex:none;max-width:50%;overflow-wrap:anywhere}}.sent dd{{margin:0;overflow-wrap:anywhere}}
td.n,time{{font-variant-numeric:tabular-nums}}
time{{white-space:nowrap}}
@media (min-width:601px){{th,td.whole{{white-space:nowrap}}td.key{{min-width:16em}}}}
.bad{{color:var(--refused)}}
"""
