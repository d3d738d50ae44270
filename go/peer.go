package plugmux

import (
	"fmt"
	"net"
	"os"
	"os/user"
	"slices"
	"strconv"
	"strings"
)

// peerUsersVariable names users, beside the plugin's own and root, whose runtime the plugin may dial.
const peerUsersVariable = "PLUGMUX_PEER_USERS"

const rootUser = 0

// peerPolicy says whose runtime a plugin may dial: what listens at a path or an abstract name may be anybody's, and a
// plugin hands its secrets to whoever it registers with.
type peerPolicy struct {
	own     int      // the id of the plugin's user; negative where the system has no such ids
	allowed []string // names or ids of further users
}

func newPeerPolicy(allowed []string) peerPolicy {
	return peerPolicy{os.Geteuid(), slices.Concat(allowed, strings.Split(os.Getenv(peerUsersVariable), ","))}
}

// check refuses a connection whose other end listens as a user that the policy does not allow. Where the system does
// not tell the user of a peer, it allows every one.
func (p peerPolicy) check(conn net.Conn) error {
	socket, ok := conn.(*net.UnixConn)
	if !ok || p.own < 0 {
		return nil
	}
	id, known, err := peerUser(socket)
	if err != nil {
		return fmt.Errorf("the system does not tell which user listens there: %w", err)
	}
	if !known {
		return nil
	}
	return p.checkUser(id)
}

func (p peerPolicy) checkUser(id int) error {
	if id == p.own || id == rootUser {
		return nil
	}
	for _, text := range p.allowed {
		text = strings.TrimSpace(text)
		if text == "" {
			continue
		}
		allowed, err := userID(text)
		if err != nil {
			return fmt.Errorf("%s or Config.PeerUsers names a user that is not known here: %w", peerUsersVariable, err)
		}
		if id == allowed {
			return nil
		}
	}
	return fmt.Errorf("it belongs to %s, which is neither root nor the user of this plugin (uid %d); "+
		"set %s or Config.PeerUsers to allow that user", describeUser(id), p.own, peerUsersVariable)
}

func userID(text string) (int, error) {
	if id, err := strconv.Atoi(text); err == nil {
		return id, nil
	}
	found, err := user.Lookup(text)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(found.Uid)
}

func describeUser(id int) string {
	if found, err := user.LookupId(strconv.Itoa(id)); err == nil {
		return fmt.Sprintf("user %q (uid %d)", found.Username, id)
	}
	return fmt.Sprintf("uid %d", id)
}
