// Package pipe has the pipes of Windows as connections: ends of anonymous pipes, and named pipes. Elsewhere it is empty.
//
// Each operation blocks a thread. A plugin has one connection, so that this costs two threads, and in exchange the operations
// need no completion port: those of a port are not told under Wine, where this package is tested, once a handle skips the port
// on success, as Go's own files and go-winio have it.
package pipe
