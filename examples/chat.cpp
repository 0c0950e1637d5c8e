// A chat: what one says, all hear. Each client has a bounded queue of lines that one task writes to
// its socket; who reads so slowly that it is full is shown out, and nobody waits for him.
//
// run: chat [PORT], then: nc 127.0.0.1 8082, in two terminals; the first line is your name
#include <lariat/lariat.hpp>

#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <memory>
#include <string>
#include <utility>
#include <vector>

using line = std::shared_ptr<const std::string>;  // one text for all who hear it
constexpr std::size_t most_unread = 100;
struct member {
    explicit member(std::string called) : name(std::move(called)) {}
    std::string name;
    lariat::queue<line> unread{most_unread};
    lariat::cancel_scope presence;
};

struct chat_room {
    void say(const std::string& text) {
        const auto said = std::make_shared<const std::string>(text + "\n");
        for (member* each : members) {
            if (!each->unread.try_put(said)) each->presence.cancel();
        }
    }
    std::vector<member*> members;
};

/// A member is in the room for as long as this lives.
struct seat {
    seat(chat_room& where, member& who) : room(where), sitting(who) {
        room.members.push_back(&who);
    }
    seat(const seat&) = delete;
    ~seat() { std::erase(room.members, &sitting); }
    chat_room& room;
    member& sitting;
};

lariat::task<> deliver(lariat::tcp_stream& client, member& me) {
    while (auto next = co_await me.unread.get()) {
        const line text = *std::move(next);
        co_await client.write_all(*text);
    }
}

lariat::task<> listen_to(lariat::buffered_reader<lariat::tcp_stream>& reader, member& me,
                         chat_room& here) {
    while (auto text = co_await reader.read_line()) here.say(me.name + ": " + *text);
}

// Returns how it ended. Whichever of the two ends first ends the other.
lariat::task<std::string> take_part(chat_room& here, member& me, lariat::tcp_stream& client,
                                    lariat::buffered_reader<lariat::tcp_stream>& reader) {
    const seat mine(here, me);
    here.say(me.name + " is here");
    try {
        auto both = lariat::race(listen_to(reader, me, here), deliver(client, me));
        const auto ended = co_await me.presence.run(std::move(both));
        co_return ended ? " has left" : " did not keep up";
    } catch (const std::exception& error) {
        co_return std::string(" was lost: ") + error.what();
    }
}

lariat::task<> talk(chat_room& here, lariat::tcp_stream client) {
    lariat::buffered_reader reader(client, 4096);  // no line is longer
    auto asking = lariat::nothrow(lariat::timeout(std::chrono::minutes(1), reader.read_line()));
    const auto got = co_await std::move(asking);  // an error: too slow, or too long a line
    const std::string name = got ? got->value_or("") : "";
    if (name.empty()) co_return;
    member me(name);
    const std::string how = co_await take_part(here, me, client, reader);
    here.say(me.name + how);
    std::printf("%s%s\n", me.name.c_str(), how.c_str());
    std::fflush(stdout);
}

lariat::task<> main_task(int port) {
    auto listener = lariat::tcp_listener::bind(lariat::endpoint("127.0.0.1", port));
    std::printf("listening on %s\n", listener.local_endpoint().to_string().c_str());
    std::fflush(stdout);
    chat_room here;
    auto handler = [&here](lariat::tcp_stream client) { return talk(here, std::move(client)); };
    lariat::serve_options options;
    options.max_connections = 10'000;
    options.stop_on = lariat::signals(SIGINT, SIGTERM);
    co_await lariat::serve(listener, handler, options);
    std::puts("stopped");
}

int main(int argc, char** argv) { lariat::run(main_task(argc > 1 ? std::atoi(argv[1]) : 8082)); }
