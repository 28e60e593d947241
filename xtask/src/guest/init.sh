#!/bin/busybox sh
# First process of the guest: the host's root read-only, a file system in memory above it, then the command in that.
/bin/busybox --install -s /bin
PATH=/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev 2>/dev/null
fail() {
    echo "guest: $*"
    poweroff -f
}
while read -r module; do insmod "/modules/$module" || echo "guest: $module is not loaded"; done < /modules/list
mount -t tmpfs -o size=80% memory /up && mkdir /up/upper /up/work
mount -t virtiofs -o ro host /low || fail "the host's root is not there"
mount -t overlay overlay -o lowerdir=/low,upperdir=/up/upper,workdir=/up/work /root || fail "no overlay"
for folder in proc sys dev; do mount --move "/$folder" "/root/$folder"; done
mkdir -p /root/dev/pts /root/dev/shm
mount -t devpts devpts /root/dev/pts
mount -t tmpfs memory /root/dev/shm
mount -t tmpfs memory /root/run
mount -t tmpfs memory /root/tmp
mount -t tracefs tracefs /root/sys/kernel/tracing
mount -t securityfs securityfs /root/sys/kernel/security
mount -t bpf bpf /root/sys/fs/bpf
mount -t cgroup2 cgroup2 /root/sys/fs/cgroup
ip link set lo up
hostname guest
cp /bin/busybox /command /root/run/
cat > /root/run/init <<'END'
#!/run/busybox sh
echo "GUEST-START $(/run/busybox uname -r)"
/run/command
echo "GUEST-EXIT $?"
/run/busybox poweroff -f
END
chmod +x /root/run/init
exec switch_root /root /run/init
