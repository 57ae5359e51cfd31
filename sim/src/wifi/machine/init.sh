#!/bin/busybox sh
# The first program of the machine: finds the host's files, runs /mnt/out/run, and powers off.
B=/bin/busybox
$B mount -t proc p /proc
$B mount -t sysfs s /sys
$B mount -t devtmpfs d /dev
while read module; do $B insmod "/m/$module"; done < /m/list
O=trans=virtio,version=9p2000.L,msize=262144
$B mkdir -p /lower /upper /union
$B mount -t 9p -o "$O,ro,cache=loose" host /lower || $B poweroff -f
$B mount -t tmpfs t /upper
$B mkdir /upper/files /upper/work
$B mount -t overlay -o lowerdir=/lower,upperdir=/upper/files,workdir=/upper/work o /union
for folder in proc sys dev; do $B mount --move /$folder /union/$folder; done
$B mount -t tmpfs t /union/run
$B mkdir -p /union/mnt/out
$B mount -t 9p -o "$O" out /union/mnt/out || $B poweroff -f
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/run TMPDIR=/run
$B stty -F /union/dev/ttyS0 -opost
$B chroot /union /bin/sh /mnt/out/run > /union/dev/ttyS0 2> /union/mnt/out/errors < /union/dev/null
echo $? > /union/mnt/out/code
$B sync
$B poweroff -f
