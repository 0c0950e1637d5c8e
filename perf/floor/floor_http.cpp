// The server of http_answers.hpp as a program, for clients that are no part of micro_bench:
// floor_http PORT
#include <exception>

#include "http_answers.hpp"

int main(int argc, char** argv) {
    try {
        const floor_server::arguments chosen(argc, argv, 1);
        floor_server::http_answers(floor_server::listen_at(chosen.port, SOCK_NONBLOCK)).run();
    } catch (const std::exception& failure) {
        std::fprintf(stderr, "floor_http: %s\n", failure.what());
        return 1;
    }
}
