"""The pages' style sheet, and their only script. The script applies the colour scheme of Airflow's UI."""

STYLE = """
:root{color-scheme:light;--bg:#fff;--text:#1c2430;--quiet:#5b6675;--line:#d9dee6;--panel:#f5f7fa;--link:#0b5cad;
--delivered:#2f855a;--settled:#8a94a3;--refused:#c53030;--undelivered:#b7791f;--read:#3b4a63}
:root[data-theme=dark]{color-scheme:dark;--bg:#111317;--text:#e6e9ee;--quiet:#a3adbb;--line:#333a45;--panel:#1b1f26;
--link:#7ab8ff;--delivered:#48bb78;--settled:#7b8595;--refused:#fc8181;--undelivered:#ecc94b;--read:#a9b8d3}
@media (prefers-color-scheme:dark){:root:not([data-theme]){color-scheme:dark;--bg:#111317;--text:#e6e9ee;
--quiet:#a3adbb;--line:#333a45;--panel:#1b1f26;--link:#7ab8ff;--delivered:#48bb78;--settled:#7b8595;
--refused:#fc8181;--undelivered:#ecc94b;--read:#a9b8d3}}
*{box-sizing:border-box}
body{margin:0;background:var(--bg);color:var(--text);font:15px/1.5 system-ui,sans-serif;overflow-wrap:anywhere}
main{max-width:1080px;margin:0 auto;padding:16px}
h1{font-size:1.4rem;margin:.2em 0 .6em}h2{font-size:1.1rem;margin:1.6em 0 .5em}
a{color:var(--link)}
h1,h2,dd,td,p{overflow:clip;overflow-clip-margin:6px}
a:focus-visible,button:focus-visible,input:focus-visible,select:focus-visible{outline:3px solid var(--link);
outline-offset:2px}
.skip{position:absolute;left:-999px}.skip:focus{left:8px;top:8px;background:var(--bg);padding:6px;z-index:1}
.quiet{color:var(--quiet)}
.cards{display:grid;gap:12px;padding:0;list-style:none;margin:0}
.card,.note{border:1px solid var(--line);border-radius:8px;background:var(--panel);padding:12px 16px}
.card h2{margin:0;font-size:1.05rem;overflow-wrap:anywhere}
.facts{display:flex;flex-wrap:wrap;gap:4px 24px;margin:.6em 0 0}
.facts div{min-width:0}.facts dt{color:var(--quiet);font-size:.85rem}.facts dd{margin:0;overflow-wrap:anywhere}
.verdict{font-weight:600}.verdict.success{color:var(--delivered)}.verdict.failed,.verdict.try_again{color:var(--refused)}
.verdict.skipped,.verdict.open{color:var(--undelivered)}
svg.way{width:100%;max-width:600px;display:block}svg.runs{width:210px;max-width:100%;height:32px;display:block}
svg text{font:12px system-ui,sans-serif;fill:var(--text)}svg .head{font-weight:600}
.g-read{fill:var(--read)}.g-delivered{fill:var(--delivered)}.g-settled{fill:var(--settled)}
.g-refused{fill:var(--refused)}.g-undelivered{fill:var(--undelivered)}
.b-delivered{fill:var(--delivered)}.b-settled{fill:var(--settled)}.b-refused{fill:var(--refused)}
.b-undelivered{fill:var(--undelivered)}path{opacity:.3}
.v-success{fill:var(--delivered)}.v-failed,.v-try_again{fill:var(--refused)}.v-skipped,.v-open{fill:var(--undelivered)}
.table{overflow-x:auto}table{border-collapse:collapse;width:100%}
th,td{text-align:start;padding:6px 12px 6px 0;border-bottom:1px solid var(--line);vertical-align:top;
overflow-wrap:anywhere}
th{overflow-wrap:normal}td.n,th.n{text-align:end;white-space:nowrap}
form{display:flex;flex-wrap:wrap;gap:8px;align-items:end}label{display:grid;gap:2px;flex:1 1 220px}
input,button{font:inherit;color:inherit;background:var(--bg);border:1px solid var(--quiet);border-radius:6px;
padding:6px 10px}button{cursor:pointer}
@media (max-width:600px){main{padding:12px}table,tbody,tr,td{display:block;width:100%}thead{position:absolute;
left:-999px}tr{border-bottom:1px solid var(--line);padding:6px 0}td{border:0;padding:1px 0}td.n{text-align:start}
td[data-name]::before{content:attr(data-name) ": ";color:var(--quiet)}}
"""

SCRIPT = """(function(){var theme=null;try{theme=localStorage.getItem("theme")}catch(error){theme=null}
if(theme==="dark"||theme==="light"){document.documentElement.setAttribute("data-theme",theme)}})()
"""
