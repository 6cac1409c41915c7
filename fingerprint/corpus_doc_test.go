package fingerprint

// docText is docs/fingerprint-corpus.md without its tables.
const docText = `# How well the fingerprint tells machines apart

All figures come from simulations with seed %d and reproduce with
` + "`DOC=1 go test -count=1 -timeout 60m -run TestCorpusTables ./fingerprint`" + `, which writes this file. ` + "`go test`" + ` runs a reduced form,
` + "`FULL=1`" + ` the full one; each fails when a limit is missed.

CPU ids and firmware texts: linuxhw/DMI, Linux Hardware Project, https://github.com/linuxhw/DMI, CC-BY-4.0 (own counts;
no dump and no serial is contained).

## Collisions

The CPU id is a model code. It is counted from recorded machines, not simulated:

%s
The other parts are simulated with the population described below. "After the rule" means without the texts and
addresses that ` + "`IsPlaceholder`" + ` refuses:

%s
What is still shared after the rule are duplicates put into the simulation that no list knows (cheap disk controllers,
prototype boards). The merchant's count of popular values is the defence against those.

## Honest machines

Per 10,000 machine-years. Each machine changes one part a year, is read badly once per 200 boots, gets kernel updates
that reorder its disks and adapters, docks daily or migrates between hosts. The limit for the default policy is 1 wrong
refusal per 10,000 machine-years.

%s
*Wrongly refused*: every refusal although no board was replaced, whatever the reason and however short. *After a board
swap*: self-service re-bind. *Undetermined*: too little was readable for more than 30 days. *Change tolerated* includes
virtual machines held by an address or a disk serial alone, which was made anew: the agent asks the merchant before it
gives its first answer, and the merchant takes the new value over, once in 30 days. The row with another seed plays other
machines and other lives.

"tolerant" shows more wrong refusals than "balanced" because it accepts most board swaps: where the new board has no serial,
the old one stays enrolled and lost, and a change years later is one too many. Under "balanced" the operator re-binds at the
swap, which enrols the machine anew.

The default policy under other conditions, and with one defence off each (100,000 machine-years):

%s
## Strangers

A license is brought to another machine of the population. Three strangers in ten hide the board (no administrator
rights). The limit is 1 accepted per 10,000, and none when the board is readable.

%s
*Refused after a day*: a strong part matched, so that the debounce of 3 reads over 24 hours applied. *Nothing to bind to*:
no strong part was usable on the licensed machine itself; such a license is never accepted anywhere.

## What is assumed

- Classes: 27 %% laptops, 25 %% desktops, 28 %% servers, 18 %% virtual machines, 2 %% micro-VMs.
- Boards of physical machines: 78 %% have a serial after the chain of sources (36 of 46 recorded machines), 20 %% a
  firmware text drawn by its recorded frequency, 2 %% nothing.
- Virtual machines: 97 %% have a UUID; one address in ten is QEMU's default; disks are nameless in 40 %%, QEMU's or
  Proxmox's default in 35 %%.
- Unlisted duplicates: 1.5 %% of disks and 0.5 %% of boards carry one of 50 values shared by many.
- Yearly change of a physical machine: disk 35 %%, network adapter 15 %%, CPU 10 %%, board with its adapters 10 %%, disk
  added 15 %%, adapter added 10 %%, another dock or nothing visible 5 %%. Of a virtual machine: disk 30 %%, address 30 %%,
  CPU 20 %%, disk added 20 %%; two migrations a year change the CPU id.
- A laptop has at least one adapter of its own (the row about docks says what happens otherwise). One laptop in ten
  has a dock whose adapter is a PCI device and therefore visible.
- A bad read makes one part unreadable for one observation. It strikes the boot after a change like any other boot.
- Boots per year: 365 (laptops, desktops, micro-VMs), 24 (virtual machines), 12 (servers).
- A bad read that would stop a license at once is read again; one in ten is still bad then.
- The configuration of a virtual machine changes while it is off. At one start in fifty of those that ask before the first
  answer the merchant is not reached within the 20 seconds that answers wait, and the machine counts as wrongly refused.
- The machine contacts the merchant daily. An accepted change is rolled forward then, one strong part per 30 days.
- The debounce and the roll-forward are modelled locally; the comparison is the shipped code.

## Recorded machines

` + "`CORPUS=dir make corpus`" + ` runs the rules over dumps of other people's machines, which are not part of this tree. Over 25
dmidecode texts and 15 Windows records of the GLPI agent's test resources: 930 serial-like fields, 650 refused, 280
accepted, no disagreement with a second, independent rule. Without CORPUS it runs over the records in
` + "`fingerprint/testdata/machines.json`" + `.
`
