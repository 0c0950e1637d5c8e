#pragma once

namespace lariat::test {

// ThreadSanitizer ends a child, forked where threads had been, that makes a thread.
#if defined(__SANITIZE_THREAD__)
inline constexpr bool forked_children_have_threads = false;
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
inline constexpr bool forked_children_have_threads = false;
#else
inline constexpr bool forked_children_have_threads = true;
#endif
#else
inline constexpr bool forked_children_have_threads = true;
#endif

}  // namespace lariat::test
