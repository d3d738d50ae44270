package plugmux

import (
	"fmt"
	"net"
	"os"
	"os/user"
	"slices"
	"strings"
)

// peerUsersVariable is the environment variable that names further users whose runtime the plugin may dial.
const peerUsersVariable = "PLUGMUX_PEER_USERS"

// anyUser in the place of a user allows every user.
const anyUser = "*"

const unknownUser = "unknown"

// peerPolicy decides whose runtime the plugin may dial. Any user may listen at a path, an abstract name or the name of a pipe,
// and the plugin gives its secrets to the runtime that it registers with. The id of a user is a number, and on Windows a SID.
type peerPolicy struct {
	own     string   // the id of the plugin's user
	allowed []string // names or ids of further users
}

func newPeerPolicy(allowed []string) peerPolicy {
	return peerPolicy{ownUser(), slices.Concat(allowed, strings.Split(os.Getenv(peerUsersVariable), ","))}
}

// check fails if the other end of a connection belongs to a user that the policy does not allow, or to one that the system does
// not tell.
func (p peerPolicy) check(conn net.Conn) error {
	id, known, err := peerUser(conn)
	if err != nil {
		return fmt.Errorf("the system does not tell which user listens there: %w", err)
	}
	if !known {
		id = unknownUser
	}
	return p.checkUser(id)
}

func (p peerPolicy) checkUser(id string) error {
	if id == p.own || id == rootUser {
		return nil
	}
	for _, text := range p.allowed {
		text = strings.TrimSpace(text)
		switch text {
		case "":
			continue
		case anyUser:
			return nil
		}
		allowed, err := userID(text)
		if err != nil {
			return fmt.Errorf("%s or Config.PeerUsers names an unknown user: %w", peerUsersVariable, err)
		}
		if id == allowed {
			return nil
		}
	}
	return fmt.Errorf("it belongs to %s, which is neither %s nor the user of this plugin (%s); "+
		"set %s or Config.PeerUsers to allow that user", describeUser(id), rootName, p.own, peerUsersVariable)
}

func userID(text string) (string, error) {
	if isUserID(text) {
		return text, nil
	}
	found, err := user.Lookup(text)
	if err != nil {
		return "", err
	}
	return found.Uid, nil
}

func describeUser(id string) string {
	if found, err := user.LookupId(id); err == nil {
		return fmt.Sprintf("user %q (%s)", found.Username, id)
	}
	return "user " + id
}
