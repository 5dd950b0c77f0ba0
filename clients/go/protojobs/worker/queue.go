package worker

import "slices"

// queue is first in, first out. What was taken is cut off now and then, so that it neither grows nor moves each time.
type queue[T any] struct {
	items []T
	taken int
}

func (q *queue[T]) len() int { return len(q.items) - q.taken }

func (q *queue[T]) first() T { return q.items[q.taken] }

func (q *queue[T]) push(item T) { q.items = append(q.items, item) }

func (q *queue[T]) pop() T {
	item := q.items[q.taken]
	var none T
	q.items[q.taken] = none
	q.taken++
	switch {
	case q.taken == len(q.items):
		q.items, q.taken = q.items[:0], 0
	case q.taken > 1024 && 2*q.taken > len(q.items):
		q.items, q.taken = slices.Delete(q.items, 0, q.taken), 0
	}
	return item
}

// pushFront puts items before all others, in their order.
func (q *queue[T]) pushFront(items []T) {
	q.items, q.taken = slices.Insert(slices.Delete(q.items, 0, q.taken), 0, items...), 0
}
