#!/bin/sh
# Copies a staged node into a prefix, or removes what it copied. `make install` and `make uninstall` call it.
#
#   NODE=STAGED PREFIX=/usr/local [DESTDIR=] VERSION= SONAME= LUA= API= tools/install.sh install
#   PREFIX=/usr/local [DESTDIR=] tools/install.sh uninstall
#
# What was installed is listed in share/skynet/installed, so that uninstalling takes nothing else away,
# a second version beside the first included.
set -eu

fail() {
	echo "install: $*" >&2
	exit 1
}

case $PREFIX in
/*) ;;
*) fail "PREFIX=$PREFIX is not an absolute path" ;;
esac
root=${DESTDIR:-}
list=share/skynet/installed

# put MODE FROM TO: copies a file to PREFIX/TO. By renaming, so that a program that runs from the
# old file is not disturbed.
put() {
	to=$root$PREFIX/$3
	mkdir -p "$(dirname "$to")"
	cp "$2" "$to.new"
	chmod "$1" "$to.new"
	mv -f "$to.new" "$to"
	echo "$3" >> "$names"
}

# link TEXT TO: a symbolic link PREFIX/TO.
link() {
	ln -sfn "$1" "$root$PREFIX/$2"
	echo "$2" >> "$names"
}

# put_tree FROM TO: the Lua files of a folder and its folders.
put_tree() {
	(cd "$1" && find . -name '*.lua') | while read -r file; do
		put 644 "$1/$file" "$2/${file#./}"
	done
}

# text TO: a file from standard input.
text() {
	cat > "$work"
	put 644 "$work" "$1"
}

install_all() {
	for file in skynet libskynet.so libskynet.a; do
		[ -e "$NODE/$file" ] || fail "$NODE/$file is not there; make builds it"
	done
	put 755 "$NODE/skynet" bin/skynet
	put 755 "$NODE/libskynet.so" "lib/$SONAME"
	link "$SONAME" lib/libskynet.so
	put 644 "$NODE/libskynet.a" lib/libskynet.a
	for file in "$NODE"/skynet-src/*.h "$NODE"/3rd/lua/*.h "$NODE"/3rd/lua/*.hpp; do
		put 644 "$file" "include/skynet/${file##*/}"
	done
	for kind in cservice luaclib; do
		for file in "$NODE/$kind"/*.so; do
			put 755 "$file" "lib/skynet/$kind/${file##*/}"
		done
	done
	for kind in lualib service; do
		put_tree "$NODE/$kind" "share/skynet/$kind"
	done
	for file in LICENSE README.md docs/*.md; do
		put 644 "$file" "share/doc/skynet/${file##*/}"
	done

	text share/skynet/config.path <<-END
		-- Where things are. Configs include this file and put their own places in front.
		cpath = "$PREFIX/lib/skynet/cservice/?.so"
		luaservice = "$PREFIX/share/skynet/service/?.lua"
		lualoader = "$PREFIX/share/skynet/lualib/loader.lua"
		lua_path = "$PREFIX/share/skynet/lualib/?.lua;$PREFIX/share/skynet/lualib/?/init.lua"
		lua_cpath = "$PREFIX/lib/skynet/luaclib/?.so"
	END
	text lib/pkgconfig/skynet.pc <<-END
		prefix=$PREFIX
		includedir=\${prefix}/include/skynet
		cservicedir=\${prefix}/lib/skynet/cservice
		luaclibdir=\${prefix}/lib/skynet/luaclib
		lualibdir=\${prefix}/share/skynet/lualib
		servicedir=\${prefix}/share/skynet/service
		lua=$LUA
		api=$API

		Name: skynet
		Description: C services and Lua modules for skynet nodes, which bring the functions themselves
		Version: $VERSION
		Cflags: -I\${includedir}
	END
	text lib/pkgconfig/libskynet.pc <<-END
		prefix=$PREFIX
		libdir=\${prefix}/lib

		Name: libskynet
		Description: A skynet node inside another program
		Version: $VERSION
		Requires: skynet
		Libs: -L\${libdir} -lskynet
		Libs.private: -lgcc_s -lutil -lrt -lpthread -lm -ldl -lc
	END

	# What was installed before and is not part of this version stays listed.
	[ ! -e "$root$PREFIX/$list" ] || cat "$root$PREFIX/$list" >> "$names"
	echo "$list" >> "$names"
	sort -u "$names" > "$work"
	put 644 "$work" "$list"
	echo "installed under $root$PREFIX"
}

uninstall_all() {
	[ -e "$root$PREFIX/$list" ] || fail "nothing is installed under $root$PREFIX"
	cp "$root$PREFIX/$list" "$names"
	while read -r file; do
		rm -f "$root$PREFIX/$file"
	done < "$names"
	# Folders that are empty now, the deepest first. Others' files keep theirs.
	sed 's|/[^/]*$||' "$names" | awk -F/ '{ path = ""; for (i = 1; i <= NF; i++) { path = path $i "/"; print path } }' |
		sort -ru | while read -r folder; do
		case $folder in
		bin/ | lib/ | lib/pkgconfig/ | include/ | share/ | share/doc/) ;;
		*) rmdir "$root$PREFIX/$folder" 2> /dev/null || true ;;
		esac
	done
	echo "removed from $root$PREFIX"
}

names=$(mktemp)
work=$(mktemp)
trap 'rm -f "$names" "$work"' EXIT
case ${1:-} in
install) install_all ;;
uninstall) uninstall_all ;;
*) fail "install or uninstall?" ;;
esac
