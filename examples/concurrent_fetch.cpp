// Fetches many URLs at once through one session and saves each body in DIRECTORY under the last
// part of its path. A URL that fails does not lose the others; of two files with one name the
// second gets a number.
//
// run: concurrent_fetch DIRECTORY URL...
#include <lariat/lariat.hpp>
#include <lariat/net/http/client.hpp>

#include <chrono>
#include <cstddef>
#include <cstdio>
#include <exception>
#include <set>
#include <string>
#include <utility>
#include <vector>

struct progress {
    explicit progress(std::size_t urls) : total(urls) {}

    void step(std::size_t count) {
        ++done;
        bytes += count;
        std::fprintf(stderr, "\r%zu of %zu, %zu bytes", done, total, bytes);
        if (done == total) std::fputc('\n', stderr);
    }

    std::size_t total;
    std::size_t done = 0;
    std::size_t failed = 0;
    std::size_t bytes = 0;
    std::set<std::string> names;
};

std::string name_for(const std::string& url, std::set<std::string>& taken) {
    std::string name = url.substr(url.rfind('/') + 1);
    name = name.substr(0, name.find('?'));
    if (name.empty()) name = "index.html";
    std::string unique = name;
    for (int number = 2; !taken.insert(unique).second; ++number)
        unique = name + "." + std::to_string(number);
    return unique;
}

lariat::task<> fetch(lariat::http::client& session, std::string directory, std::string url,
                     progress& state) {
    try {
        auto response = co_await session.get(url);
        const std::string body = co_await response.text();
        const std::string path = directory + "/" + name_for(url, state.names);
        co_await lariat::write_file(path, body);
        std::printf("%d %8zu bytes  %s -> %s\n", response.status(), body.size(), url.c_str(),
                    path.c_str());
        state.step(body.size());
    } catch (const std::exception& error) {
        ++state.failed;
        std::printf("failed: %s\n", error.what());
        state.step(0);
    }
}

lariat::task<int> main_task(std::string directory, std::vector<std::string> urls) {
    lariat::http::client_options options;
    options.max_connections_per_host = 8;
    lariat::http::client session(options);
    progress state(urls.size());

    const auto begun = std::chrono::steady_clock::now();
    std::vector<lariat::task<>> fetches;
    for (std::string& url : urls)
        fetches.push_back(fetch(session, directory, std::move(url), state));
    co_await lariat::gather(std::move(fetches));
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begun;
    std::printf("%zu fetched, %zu failed, %zu bytes in %.2f s\n", state.total - state.failed,
                state.failed, state.bytes, took.count());
    co_return state.failed == 0 ? 0 : 1;
}

int main(int argc, char** argv) {
    if (argc < 3) {
        std::fprintf(stderr, "usage: concurrent_fetch DIRECTORY URL...\n");
        return 2;
    }
    return lariat::run(main_task(argv[1], std::vector<std::string>(argv + 2, argv + argc)));
}
