#pragma once

/// Everything of Lariat but what is included by name: <lariat/net/http/client.hpp>.

#include <lariat/base/clock.hpp>
#include <lariat/base/error.hpp>
#include <lariat/base/result.hpp>
#include <lariat/loop/future.hpp>
#include <lariat/loop/io.hpp>
#include <lariat/loop/loop.hpp>
#include <lariat/net/address.hpp>
#include <lariat/net/buffered_reader.hpp>
#include <lariat/net/buffered_writer.hpp>
#include <lariat/net/resolve.hpp>
#include <lariat/net/serve.hpp>
#include <lariat/net/tcp_listener.hpp>
#include <lariat/net/tcp_stream.hpp>
#include <lariat/offload/files.hpp>
#include <lariat/offload/signals.hpp>
#include <lariat/task/as_completed.hpp>
#include <lariat/task/async_generator.hpp>
#include <lariat/task/cancel_scope.hpp>
#include <lariat/task/error_group.hpp>
#include <lariat/task/gather.hpp>
#include <lariat/task/generator.hpp>
#include <lariat/task/local.hpp>
#include <lariat/task/nothrow.hpp>
#include <lariat/task/outcome.hpp>
#include <lariat/task/race.hpp>
#include <lariat/task/settled.hpp>
#include <lariat/task/sleep.hpp>
#include <lariat/task/spawn.hpp>
#include <lariat/task/task.hpp>
#include <lariat/task/task_group.hpp>
#include <lariat/task/timeout.hpp>
#include <lariat/task/trace.hpp>
