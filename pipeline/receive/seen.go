package receive

import "sync"

// remembered is how many deliveries are told apart from new ones: between this and twice as many of the latest.
const remembered = 1 << 16

// seen is a set that forgets its oldest half when it is full.
type seen struct {
	mu         sync.Mutex
	young, old map[[32]byte]struct{}
}

func (s *seen) has(name [32]byte) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, young := s.young[name]
	_, old := s.old[name]
	return young || old
}

func (s *seen) add(name [32]byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.young == nil || len(s.young) >= remembered {
		s.young, s.old = make(map[[32]byte]struct{}), s.young
	}
	s.young[name] = struct{}{}
}
