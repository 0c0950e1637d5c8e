// What is left of a family when any of its processes ends, or is killed: the first, the fork
// server, another. Each role is a program of its own.
#include <lariat/process/family.hpp>

#include "family_support.hpp"

#include <lariat/loop/loop.hpp>
#include <lariat/task/nothrow.hpp>

#include <doctest/doctest.h>

#include <csignal>
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>

#include <unistd.h>

namespace {

using namespace lariat;
using namespace lariat::test;

void fail() { throw std::runtime_error("out of paint"); }

const role leaves("leaves", [] {
    start_fork_server();
    detach(process::start(daemon_named("daemon"), say_and_stay));
    say_fork_server();
    wait_for_tester();
    return 5;
});

TEST_CASE("family: at its orderly end daemons and the fork server are gone, and no zombie stays") {
    program it("leaves");
    const auto pids = numbers(it, 2);
    CHECK(is_there(pids.at("daemon")));
    CHECK(is_there(pids.at("server")));
    CHECK(it.end() == 5);
    CHECK(!is_there(pids.at("daemon")));
    CHECK(!is_there(pids.at("server")));
}

const role leaves_one("leaves one", [] {
    start_fork_server();
    detach(process::start(named("plain"), say_and_wait));
    say_fork_server();
    return 0;
});

TEST_CASE("family: a detached process outlives the first, whose end does not wait for it") {
    program it("leaves one");
    const auto pids = numbers(it, 2);
    CHECK(it.wait() == 0);
    CHECK(is_there(pids.at("plain")));
    CHECK(is_there(pids.at("server")));
    it.let_go();
    CHECK(goes_at_last(pids.at("plain")));
    CHECK(goes_at_last(pids.at("server")));
}

const role is_killed("is killed", [] {
    start_fork_server();
    process daemon = process::start(daemon_named("daemon"), say_and_stay);
    process plain = process::start(named("plain"), say_and_wait);
    say_fork_server();
    for (;;) ::pause();
    return 0;
});

TEST_CASE("family: the first process killed, its daemons go and the others stay") {
    program it("is killed");
    const auto pids = numbers(it, 3);
    it.kill(SIGKILL);
    CHECK(it.wait() == -SIGKILL);
    CHECK(goes(pids.at("daemon")));
    CHECK(is_there(pids.at("plain")));
    CHECK(is_there(pids.at("server")));
    it.let_go();
    CHECK(goes_at_last(pids.at("plain")));
    CHECK(goes_at_last(pids.at("server")));
}

void ignore_and_stay() {
    std::signal(SIGTERM, SIG_IGN);
    say_and_stay();
}
void start_two_and_stay() {
    process daemon = process::start(daemon_named("daemon"), ignore_and_stay);
    process plain = process::start(named("plain"), say_and_wait);
    say_and_stay();
}

const role loses_child("loses child", [] {
    start_fork_server();
    process child = process::start(named("child"), start_two_and_stay);
    say(std::to_string(child.join_blocking().signal()));
    wait_for_tester();
    return 0;
});

TEST_CASE("family: a process killed, its daemon goes, and be it by force, and others stay") {
    program it("loses child");
    const auto pids = numbers(it, 3);
    ::kill(pids.at("child"), SIGKILL);
    CHECK(it.line() == "9");
    CHECK(goes(pids.at("daemon")));
    CHECK(is_there(pids.at("plain")));
    it.let_go();
    CHECK(goes_at_last(pids.at("plain")));
    CHECK(it.wait() == 0);
}

task<> join_and_say(process& child) {
    const auto ended = co_await nothrow(child.join());
    say(ended ? "joined" : "not joined: " + ended.error().message());
}

const role loses_server("loses server", [] {
    start_fork_server();
    process daemon = process::start(daemon_named("daemon"), say_and_stay);
    process plain = process::start(named("plain"), say_and_wait);
    say("server " + std::to_string(parent_of(plain.pid())));
    run(join_and_say(plain));
    say(text_of<std::system_error>([&plain] { (void)plain.join_blocking(); }));
    say(text_of<std::system_error>([] { (void)process::start(nothing); }));
    say(plain.send_signal(0) ? "it lives" : "it does not");
    detach(std::move(plain));
    return 0;
});

TEST_CASE("family: the fork server killed, joins and starts fail, daemons go, others stay") {
    program it("loses server");
    const auto pids = numbers(it, 3);
    ::kill(pids.at("server"), SIGKILL);
    CHECK(it.line() == "not joined: No child processes");
    CHECK(has(it.line(), "the fork server was killed"));
    CHECK(has(it.line(), "the fork server is gone"));
    CHECK(it.line() == "it lives");
    CHECK(goes(pids.at("daemon")));
    CHECK(it.wait() == 0);
    CHECK(!is_there(pids.at("server")));
    CHECK(is_there(pids.at("plain")));
    it.let_go();
    CHECK(goes_at_last(pids.at("plain")));
}

const role fails_unheard("fails unheard", [] {
    start_fork_server();
    detach(process::start(named("painter"), fail));
    return 0;
});

TEST_CASE("family: what ended a process that nobody can join is said on standard error") {
    program it("fails unheard");
    const std::string said = it.rest();
    CHECK_MESSAGE(has(said, "failed and nobody joined it: std::runtime_error: out of paint"), said);
    CHECK(said.starts_with("lariat: painter (pid "));
    CHECK(it.wait() == 0);
}

}  // namespace
