# What jq has and jaq has not.
def ascii: [.] | implode;
def trimstr($part): ltrimstr($part) | rtrimstr($part);
def toarray: if isarray then . else [.] end;
def @csv: map(if isstring then "\"" + (split("\"") | join("\"\"")) + "\"" elif . == null then "" else tostring end) | join(",");
def @tsv: map(if . == null then "" else tostring | split("\\") | join("\\\\") | split("\t") | join("\\t") | split("\n") | join("\\n") | split("\r") | join("\\r") end) | join("\t");
