#include "process/manager_signature.hpp"

#include <stdexcept>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

namespace lariat::detail {

bool can_sign() noexcept { return true; }

digest sign(const std::string& key, std::string_view who, const challenge& of) {
    std::string text(who);
    text.append(reinterpret_cast<const char*>(of.managers.data()), of.managers.size());
    text.append(reinterpret_cast<const char*>(of.users.data()), of.users.size());
    digest signature{};
    unsigned int size = 0;
    if (::HMAC(::EVP_sha256(), key.data(), static_cast<int>(key.size()),
               reinterpret_cast<const unsigned char*>(text.data()), text.size(),
               reinterpret_cast<unsigned char*>(signature.data()), &size) == nullptr)
        throw std::runtime_error("libcrypto cannot make an HMAC");
    return signature;
}

bool same(const digest& one, const digest& other) noexcept {
    return ::CRYPTO_memcmp(one.data(), other.data(), one.size()) == 0;
}

}  // namespace lariat::detail
