#!/bin/sh
# Who may import whom in src/ (docs/architecture.md): prints the lines that break a rule.
set -u
cd "$(dirname "$0")/.."
broken=0

# rule FOLDER ALLOWED...: files of src/FOLDER name only these modules of the crate.
rule() {
	folder=$1
	shift
	allowed=$(printf '%s|' "$@")
	lines=$(grep -rnoE '\bcrate::[a-z_]+' "src/$folder" --include='*.rs' | grep -vE "crate::(${allowed%|})\$")
	if [ -n "$lines" ]; then
		echo "src/$folder may import only: $*"
		echo "$lines"
		broken=1
	fi
}

rule sys sys
rule core core sync sys
rule net net core sync sys
if grep -rnE 'crate::capi|super::capi' src --include='*.rs' | grep -v '^src/capi/'; then
	echo "only src/main.rs may import capi"
	broken=1
fi
exit $broken
