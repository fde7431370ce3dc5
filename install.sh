#!/usr/bin/env bash
# Installs, upgrades and removes avatar-server; see "./install.sh --help" and docs/install.md.
set -euo pipefail
umask 022

readonly NAME=avatar-server
readonly DEFAULT_PREFIX=/opt/avatar-server
readonly UNIT_FILE=/etc/systemd/system/avatar-server.service
readonly MIN_PYTHON=3.11
readonly DATA_FOLDERS=(videos models logs cache jobs)
readonly CODE=(server.py engine capture processors transport requirements.txt requirements-ai.txt
    requirements-ai-nodeps.txt requirements-cluster.txt install.sh avatar-server.service)
readonly VENV_MIB=900 CODE_MIB=50
# With the model stack, by the build of torch.
readonly AI_CPU_MIB=3500 AI_CUDA_MIB=11000
readonly TORCH_INDEX=https://download.pytorch.org/whl
readonly DRIVER=/proc/driver/nvidia/version

# What is in an installation: "code NAME" lines, and "file SHA256 PATH" lines for the shipped files
# that belong to the user from then on (config.yaml, the demo avatar).
readonly MANIFEST=.installed

SOURCE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
readonly SOURCE

usage() {
    cat <<'END'
Usage:
  sudo ./install.sh                        install or upgrade, and start the service
  ./install.sh --prefix DIR --no-systemd   install or upgrade in DIR, without root or service
  sudo ./install.sh --uninstall [--purge]  remove; videos, models, logs, jobs, config.yaml stay
  ./install.sh --venv DIR                  only make or update a virtual environment

Options:
  --prefix DIR         where to install (default: /opt/avatar-server)
  --no-systemd         no system user, no service; the files belong to whoever calls
  --python PROGRAM     the Python to use, 3.11 or newer (default: the first one found)
  --use-venv DIR       run from this environment, as it is, instead of making one
  --requirements FILE  what to install (default: requirements.txt; requirements-ai.txt adds models)
  --torch BUILD        with requirements-ai.txt: cpu, or cu126, cu130, ... for a GPU (default: what
                       is there; else PyPI's where an NVIDIA driver is, cpu where none is)
  --purge              with --uninstall: remove everything, the user's files and the user too
  -h, --help           show this text
END
}

say() { printf '%s\n' "$@"; }

die() {
    printf 'error: %s\n' "$1" >&2
    if [[ $# -gt 1 ]]; then printf '  %s\n' "${@:2}" >&2; fi
    exit 1
}

# Python and the virtual environment.

is_new_enough() {
    "$1" -c "import sys; sys.exit(sys.version_info < (${MIN_PYTHON/./, }))" 2>/dev/null
}

find_python() {
    local candidate
    if [[ -n $python ]]; then
        command -v "$python" >/dev/null || die "There is no Python at '$python'."
        is_new_enough "$python" || die \
            "$python is $("$python" --version 2>&1 || true); $MIN_PYTHON or newer is needed."
        return
    fi
    for candidate in python3 python3.{11..14}; do
        if command -v "$candidate" >/dev/null && is_new_enough "$candidate"; then
            python=$candidate
            return
        fi
    done
    if command -v python3 >/dev/null; then
        die "python3 is $(python3 --version 2>&1); $MIN_PYTHON or newer is needed." \
            "Name another one: --python /path/to/python3.11 (with make: PYTHON=...)."
    fi
    die "Python $MIN_PYTHON or newer was not found." \
        "On Debian and Ubuntu: apt-get install python3 python3-venv"
}

need_venv_module() {
    "$python" -c 'import ensurepip, venv' 2>/dev/null && return
    local package
    package=$("$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')
    if ((EUID == 0)) && command -v apt-get >/dev/null; then
        say "Installing $package with apt-get ..."
        export DEBIAN_FRONTEND=noninteractive
        { apt-get update -qq && apt-get install -y -qq --no-install-recommends "$package"; } \
            </dev/null >/dev/null 2>&1 || true
        "$python" -c 'import ensurepip, venv' 2>/dev/null && return
    fi
    die "$python cannot make virtual environments: its module venv is incomplete." \
        "On Debian and Ubuntu: sudo apt-get install $package"
}

# The hash of a requirements file, of those it includes, and of how torch is wanted.
requirements_hash() {
    {
        "$1/bin/python" --version && printf '%s\n' "$torch" &&
            { included "$2" && nodeps_of "$2" && printf '%s\n' "$2"; } |
            while read -r file; do cat "$file"; done
    } 2>/dev/null | sha256sum | cut -d' ' -f1
}

# What a requirements file includes with -r, and what that includes.
included() {
    sed -n 's/^-r[[:space:]]*\([^[:space:]#]*\).*/\1/p' "$1" |
        while read -r name; do
            printf '%s\n' "$(dirname "$1")/$name"
            included "$(dirname "$1")/$name"
        done
}

# X-nodeps.txt beside a requirements file X.txt, or beside one that it includes, lists packages to
# be installed without what they depend on.
nodeps_of() {
    { included "$1" && printf '%s\n' "$1"; } | while read -r file; do
        if [[ -r ${file%.txt}-nodeps.txt ]]; then printf '%s\n' "${file%.txt}-nodeps.txt"; fi
    done
}

stamp_of() { printf '%s/.installed-%s' "$1" "$(basename "$2")"; }

# make_venv DIR REQUIREMENTS: does nothing when DIR has what the file lists.
make_venv() {
    local venv=$1 requirements=$2 wanted file
    [[ -r $requirements ]] || die "There is no $requirements."
    if wanted=$(requirements_hash "$venv" "$requirements") &&
        [[ $(cat "$(stamp_of "$venv" "$requirements")" 2>/dev/null) == "$wanted" ]]; then
        return
    fi
    if ! "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
        if [[ ! -e $venv/pyvenv.cfg && -n $(ls -A "$venv" 2>/dev/null) ]]; then
            die "$venv is not empty, and is no virtual environment."
        fi
        find_python
        need_venv_module
        need_space "$(dirname "$venv")" "$(venv_mib "$requirements")"
        say "Making the virtual environment $venv ..."
        "$python" -m venv --clear "$venv" || die \
            "The virtual environment $venv was not made; the message is above." \
            "$(free_mib "$(dirname "$venv")") MiB are free there."
    fi
    say "Installing $(basename "$requirements"); the first time this takes a minute or two ..."
    install_torch "$venv" "$requirements"
    pip_in "$venv" install --requirement "$requirements" || die \
        "pip could not install $requirements; its message is above." \
        "Check the network and the free space, then start again."
    while read -r file; do
        pip_in "$venv" install --no-deps --requirement "$file" || die \
            "pip could not install $file; its message is above."
    done < <(nodeps_of "$requirements")
    settle_opencv "$venv"
    while read -r file; do
        requirements_hash "$venv" "$file" >"$(stamp_of "$venv" "$file")"
    done < <(included "$requirements" && printf '%s\n' "$requirements")
}

pip_in() {
    PIP_ROOT_USER_ACTION=ignore "$1/bin/python" -m pip --quiet --disable-pip-version-check \
        --no-input "${@:2}"
}

# The version of torch that a requirements file, or one that it includes, pins; nothing: none.
torch_pin() {
    { included "$1" && printf '%s\n' "$1"; } |
        while read -r file; do sed -n 's/^torch==\([0-9.]*\).*/\1/p' "$file"; done
}

# The build of torch to install: a name of PyTorch's own package index, or "pypi" for PyPI's, which
# on Linux is made for CUDA, elsewhere for whatever is there.
torch_build() {
    if [[ -n $torch ]]; then
        printf '%s\n' "$torch"
    elif [[ $(uname -s) != Linux || -e $DRIVER ]]; then
        printf 'pypi\n'
    else
        printf 'cpu\n'
    fi
}

venv_mib() {
    if [[ -z $(torch_pin "$1") ]]; then
        printf '%s\n' "$VENV_MIB"
    elif [[ $(torch_build) == cpu ]]; then
        printf '%s\n' "$AI_CPU_MIB"
    else
        printf '%s\n' "$AI_CUDA_MIB"
    fi
}

# Installs torch before the packages that depend on it, so that they take this build.
install_torch() {
    local venv=$1 pin there build
    pin=$(torch_pin "$2")
    [[ -n $pin ]] || return 0
    there=$("$venv/bin/python" -c 'import importlib.metadata as m; print(m.version("torch"))' \
        2>/dev/null) || there=
    if [[ ${there%%+*} == "$pin" && ( -z $torch || $there == "$pin+$torch" ) ]]; then return; fi
    build=$(torch_build)
    [[ $build != pypi ]] || return 0
    # The build's name in the version keeps pip from taking another one from elsewhere. PyTorch's
    # index is asked only where pip's own places do not have it.
    pip_in "$venv" install "torch==$pin+$build" 2>/dev/null ||
        pip_in "$venv" install "torch==$pin+$build" --extra-index-url "$TORCH_INDEX/$build" ||
        die "pip could not install torch $pin+$build; its message is above." \
            "Check the network, and that $TORCH_INDEX/$build is a build that exists." \
            "Another one: --torch cpu, --torch cu126, ... (with make: TORCH=...)"
}

# opencv-python needs libraries of a desktop, which a server lacks; its headless twin, the same
# but for the window functions, does not.
settle_opencv() {
    local venv=$1 version message
    version=$("$venv/bin/python" -c 'import importlib.metadata as m; print(m.version("opencv-python"))' \
        2>/dev/null) || return 0
    message=$("$venv/bin/python" -c 'import cv2' 2>&1) && return
    if [[ $message != *"cannot open shared object file"* ]]; then
        printf '%s\n' "$message" >&2
        die "OpenCV was installed, but does not start; its message is above."
    fi
    pip_in "$venv" uninstall --yes opencv-python
    pip_in "$venv" install --force-reinstall --no-deps "opencv-python-headless==$version" ||
        die "pip could not install opencv-python-headless $version; its message is above."
    message=${message##*ImportError: }
    say "OpenCV has no windows here, for want of ${message%%:*}. To get them:" \
        "  apt-get install libgl1 libglib2.0-0; rm -r $venv; then start again"
}

# Checks before anything is touched.

free_mib() { df -Pm "$1" | awk 'NR == 2 { print $4 }'; }

need_space() {
    local folder=$1 free
    while [[ ! -d $folder ]]; do folder=$(dirname "$folder"); done
    free=$(free_mib "$folder")
    ((free >= $2)) || die "$folder has $free MiB free, $2 MiB are needed." "Free some space."
}

need_systemd() {
    ((EUID == 0)) || die "Installing the service needs root: sudo ./install.sh" \
        "Without root: ./install.sh --prefix DIR --no-systemd"
    [[ -d /run/systemd/system ]] || die "systemd does not run here." \
        "Without it: ./install.sh --prefix DIR --no-systemd"
    [[ $prefix =~ ^/[A-Za-z0-9/_.-]+$ ]] ||
        die "--prefix $prefix: with systemd only letters, digits and / _ . - are possible."
}

need_usable_prefix() {
    [[ $prefix/ != "$SOURCE"/* ]] || die "--prefix $prefix lies in $SOURCE, where the new code is." \
        "Choose another folder, or move the checkout."
    if [[ -e $prefix && ! -d $prefix ]]; then die "$prefix is not a folder."; fi
    if [[ ! -e $prefix/$MANIFEST && -n $(ls -A "$prefix" 2>/dev/null) ]]; then
        die "$prefix is not empty, and is no installation of $NAME." "Choose another --prefix."
    fi
    # The unit hides the homes, so a Python in there would not start.
    if $systemd; then
        find_python
        local base
        base=$("$python" -c 'import os, sys; print(os.path.realpath(sys.base_prefix))')
        case "$base/" in
        /home/* | /root/* | /run/user/*) die "$python lies in $base, which the service cannot see." \
            "Name a system-wide one: --python /usr/bin/python3" ;;
        esac
    fi
}

# Installing.

staging=
cleanup() {
    local status=$?
    if [[ -n $staging ]]; then
        put_back
        rm -rf "$staging" || true
        if ((status)); then printf 'Stopped; the code in %s is what it was.\n' "$prefix" >&2; fi
    fi
}

# Moves the old code back when the swap was cut short.
put_back() {
    local path
    [[ -d $staging/old ]] || return 0
    for path in "$staging"/old/*; do
        [[ -e $path ]] || continue
        rm -rf "${prefix:?}/${path##*/}"
        mv "$path" "$prefix/" || true
    done
    if $systemd && systemctl is-enabled --quiet "$NAME" 2>/dev/null; then
        systemctl start "$NAME" || true
    fi
}

stage_code() {
    staging=$prefix/.staging
    rm -rf "$staging"
    mkdir -p "$staging/new" "$staging/old"
    tar -C "$SOURCE" --exclude=__pycache__ --exclude='*.pyc' --exclude='.*' -cf - "${CODE[@]}" |
        tar -C "$staging/new" --no-same-owner -xf - || die "The code could not be copied to $prefix."
    chmod -R u=rwX,go=rX "$staging"
    # The service cannot write here, so byte code that is missing now would stay missing.
    "$prefix/venv/bin/python" -m compileall -qq -s "$staging/new" -p "$prefix" "$staging/new" ||
        die "The code could not be compiled in $prefix." "$(free_mib "$prefix") MiB are free there."
}

swap_code() {
    local kind name
    if $systemd && [[ -f $UNIT_FILE ]]; then systemctl stop "$NAME"; fi
    if [[ -f $prefix/$MANIFEST ]]; then
        while read -r kind name; do
            if [[ $kind == code && -e $prefix/$name ]]; then mv "$prefix/$name" "$staging/old/"; fi
        done <"$prefix/$MANIFEST"
    fi
    for name in "${CODE[@]}"; do
        rm -rf "${prefix:?}/$name"
        mv "$staging/new/$name" "$prefix/"
    done
    rm -rf "$staging/old"
}

# place_file SOURCE_FILE PATH: gives the user a shipped file, and a newer one as long as it was not
# changed; a changed or removed one stays as it is.
place_file() {
    local source=$1 path=$2 shipped new now=
    new=$(hash_of "$source")
    shipped=$(awk -v path="$path" '$1 == "file" && $3 == path { print $2 }' "$prefix/$MANIFEST" \
        2>/dev/null || true)
    if [[ -e $prefix/$path ]]; then now=$(hash_of "$prefix/$path"); fi
    if [[ $now == "$new" ]]; then
        :
    elif [[ -z $now && ( -z $shipped || $path == config.yaml ) || -n $now && $now == "$shipped" ]]; then
        mkdir -p "$(dirname "$prefix/$path")"
        install -m 644 "$source" "$prefix/$path.part"
        mv "$prefix/$path.part" "$prefix/$path"
    elif [[ -n $now && $new != "$shipped" && $path == config.yaml ]]; then
        install -m 644 "$source" "$prefix/$path.new"
        say "Kept your $prefix/$path; the new default is $path.new beside it."
    fi
    printf 'file %s %s\n' "$new" "$path" >>"$prefix/$MANIFEST.part"
}

hash_of() { sha256sum <"$1" | cut -d' ' -f1; }

place_files() {
    local file
    printf 'code %s\n' "${CODE[@]}" >"$prefix/$MANIFEST.part"
    place_file "$SOURCE/config.yaml" config.yaml
    for file in "$SOURCE"/videos/demo/*.{yaml,mp4}; do
        if [[ -f $file ]]; then place_file "$file" "videos/demo/${file##*/}"; fi
    done
}

# The settings that the new code will find must suit it, or the old code stays.
check_config() {
    local config=$prefix/config.yaml as=()
    if $systemd; then as=(runuser -u "$NAME" --); fi
    (cd "$prefix" && "${as[@]}" "$prefix/venv/bin/python" "$staging/new/server.py" \
        --config "$config" check-config >/dev/null) || die "The settings do not suit this version." \
        "Correct $config (every setting: $SOURCE/config.yaml), then start again."
}

make_user() {
    getent passwd "$NAME" >/dev/null && return
    say "Making the system user $NAME ..."
    useradd --system --user-group --no-create-home --home-dir "$prefix" \
        --shell /usr/sbin/nologin "$NAME"
}

install_unit() {
    sed "s|$DEFAULT_PREFIX|$prefix|g" "$SOURCE/avatar-server.service" >"$UNIT_FILE.part"
    mv "$UNIT_FILE.part" "$UNIT_FILE"
    systemctl daemon-reload
    systemctl enable --quiet "$NAME"
    systemctl reset-failed "$NAME" 2>/dev/null || true
    if ! systemctl restart "$NAME" || ! sleep 2 || ! systemctl is-active --quiet "$NAME"; then
        die "The service does not run." "See why: journalctl -u $NAME -n 50"
    fi
}

do_install() {
    if $systemd; then need_systemd; fi
    need_usable_prefix
    need_space "$prefix" "$CODE_MIB"
    trap cleanup EXIT
    trap 'exit 130' INT TERM
    mkdir -p "$prefix" || die "$prefix cannot be made."
    # Marks the folder as ours from the start, so that a second run can finish a broken first one.
    touch "$prefix/$MANIFEST"
    (cd "$prefix" && mkdir -p "${DATA_FOLDERS[@]}")
    if [[ -n $use_venv ]]; then
        [[ -x $use_venv/bin/python ]] || die "--use-venv $use_venv: is no virtual environment."
        if [[ ! -L $prefix/venv ]]; then rm -rf "$prefix/venv"; fi
        ln -sfn "$(cd "$use_venv" && pwd)" "$prefix/venv"
    else
        if [[ -L $prefix/venv ]]; then rm "$prefix/venv"; fi
        make_venv "$prefix/venv" "$requirements"
    fi
    if $systemd; then make_user; fi
    stage_code
    place_files
    if $systemd; then
        (cd "$prefix" && chown -R "$NAME:$NAME" "${DATA_FOLDERS[@]}" &&
            chown "root:$NAME" config.yaml && chmod 640 config.yaml)
    fi
    check_config
    swap_code
    mv "$prefix/$MANIFEST.part" "$prefix/$MANIFEST"
    rm -rf "$staging"
    staging=
    if $systemd; then
        install_unit
        say "Installed in $prefix; the service runs." \
            "  systemctl status $NAME     journalctl -u $NAME -f     $prefix/config.yaml"
    else
        say "Installed in $prefix. Start it: $prefix/venv/bin/python $prefix/server.py"
    fi
}

do_uninstall() {
    local kind name
    if $systemd; then need_systemd; fi
    [[ -f $prefix/$MANIFEST ]] || die "$prefix is no installation of $NAME."
    if $systemd && [[ -f $UNIT_FILE ]]; then
        systemctl disable --now --quiet "$NAME" || true
        rm -f "$UNIT_FILE"
        systemctl daemon-reload
    fi
    if $purge; then
        rm -rf "$prefix"
        if $systemd && getent passwd "$NAME" >/dev/null; then userdel "$NAME"; fi
        say "Removed $prefix with everything in it."
        return
    fi
    while read -r kind name; do
        if [[ $kind == code ]]; then rm -rf "${prefix:?}/${name:?}"; fi
    done <"$prefix/$MANIFEST"
    rm -rf "$prefix/venv" "$prefix/cache" "$prefix/.staging"
    say "Removed $NAME; your videos, models, logs, jobs and config.yaml are still in $prefix."
}

# The command line.

prefix=$DEFAULT_PREFIX systemd=true purge=false python='' use_venv='' venv='' torch=''
action=do_install
requirements=$SOURCE/requirements.txt

while (($#)); do
    case $1 in
    --prefix | --python | --use-venv | --venv | --requirements | --torch)
        [[ -n ${2-} ]] || die "$1 needs a value." "./install.sh --help shows all options."
        option=${1#--}
        printf -v "${option//-/_}" '%s' "$2"
        shift
        ;;
    --no-systemd) systemd=false ;;
    --uninstall) action=do_uninstall ;;
    --purge) purge=true ;;
    -h | --help) usage && exit ;;
    *) die "There is no option $1." "./install.sh --help shows all options." ;;
    esac
    shift
done

if [[ -n $venv ]]; then
    make_venv "$venv" "$requirements"
    exit
fi
prefix=$(realpath -m "$prefix")
"$action"
