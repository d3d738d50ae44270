//go:build unix

package plugmux

import (
	"os"
	"strconv"
)

const (
	rootUser = "0"
	rootName = "root"
)

func ownUser() string { return strconv.Itoa(os.Geteuid()) }

func isUserID(text string) bool {
	_, err := strconv.ParseUint(text, 10, 32)
	return err == nil
}
