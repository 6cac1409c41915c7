package store

// child is the body of processes that tests start in order to lose them.
func child(args []string) int { return 99 }
