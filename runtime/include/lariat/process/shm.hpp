#pragma once

// Everything that the processes of a family share: locks, signals between them, values, queues.

#include <lariat/process/owner_died.hpp>
#include <lariat/process/shm/array.hpp>
#include <lariat/process/shm/barrier.hpp>
#include <lariat/process/shm/bounded_semaphore.hpp>
#include <lariat/process/shm/condition.hpp>
#include <lariat/process/shm/event.hpp>
#include <lariat/process/shm/mutex.hpp>
#include <lariat/process/shm/queue.hpp>
#include <lariat/process/shm/recursive_mutex.hpp>
#include <lariat/process/shm/rw_mutex.hpp>
#include <lariat/process/shm/semaphore.hpp>
#include <lariat/process/shm/value.hpp>
