#!/bin/busybox sh
# The first program of the machine: finds the host's files, runs /mnt/out/run, and powers off.
B=/bin/busybox
$B mount -t proc p /proc
$B mount -t sysfs s /sys
$B mount -t devtmpfs d /dev
while read module; do $B insmod "/m/$module"; done < /m/list
O=trans=virtio,version=9p2000.L,msize=262144
$B mkdir -p /lower /upper
$B mount -t 9p -o "$O,ro,cache=loose" host /lower || $B poweroff -f
$B mount -t tmpfs t /upper
$B mkdir /upper/files /upper/work
$B mount -t overlay -o lowerdir=/lower,upperdir=/upper/files,workdir=/upper/work o /root
for folder in proc sys dev; do $B mount --move /$folder /root/$folder; done
$B mount -t tmpfs t /root/run
$B mkdir -p /root/mnt/out
$B mount -t 9p -o "$O" out /root/mnt/out || $B poweroff -f
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/run TMPDIR=/run
$B stty -F /root/dev/ttyS0 -opost cols 110 rows 50
$B chroot /root /bin/sh /mnt/out/run > /root/dev/ttyS0 2> /root/mnt/out/errors < /root/dev/null
echo $? > /root/mnt/out/code
$B sync
$B poweroff -f
