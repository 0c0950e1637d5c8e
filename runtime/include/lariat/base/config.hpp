#pragma once

/// LARIAT_EXPORT marks what crosses the boundary of a shared library; everything else is hidden.
#define LARIAT_EXPORT __attribute__((visibility("default")))

/// LARIAT_SAVES_REGISTERS marks a function that is hardly ever called from code which has no other
/// call there: it saves the registers itself, so that its callers need not. It may not throw: who
/// unwinds restores no more registers than the usual convention has. Hidden, as the dynamic linker
/// restores no more either when it looks up a function at the first call; with a name of its own,
/// as what another compiler made of it has the usual convention. Clang 14 did not save them; 19 is
/// the first that was tried.
#if defined(__clang__) && __clang_major__ >= 19 && (defined(__x86_64__) || defined(__aarch64__))
#define LARIAT_SAVES_REGISTERS                                                              \
    [[gnu::noinline, gnu::cold, gnu::visibility("hidden"), gnu::abi_tag("saves_registers"), \
      clang::preserve_most]]
#else
#define LARIAT_SAVES_REGISTERS
#endif
