#include <gtest/gtest.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <set>
#include <string>
#include <thread>

#include "absl/time/clock.h"
#include "common/base/cores.h"
#include "common/base/draws.h"
#include "common/base/hash.h"
#include "common/base/mutex.h"
#include "common/base/program.h"
#include "common/base/random.h"
#include "common/base/retry.h"

namespace backflip::base {
namespace {

const RetryPolicy kFast = {absl::Milliseconds(1), absl::Milliseconds(2), absl::Minutes(1)};

TEST(Retry, TriesAgainUntilItSucceeds) {
  int tries = 0;
  EXPECT_TRUE(Retry(kFast, nullptr, [&] {
                return ++tries < 3 ? absl::UnavailableError("away") : absl::OkStatus();
              }).ok());
  EXPECT_EQ(tries, 3);
}

TEST(Retry, DoesNotRepeatWhatCannotSucceed) {
  int tries = 0;
  const absl::Status status = Retry(kFast, nullptr, [&] {
    ++tries;
    return absl::InvalidArgumentError("no");
  });
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(tries, 1);
}

TEST(Retry, GivesUpWithTheLastError) {
  RetryPolicy impatient = kFast;
  impatient.give_up_after = absl::Milliseconds(50);
  EXPECT_EQ(Retry(impatient, nullptr, [] { return absl::UnavailableError("away"); }).message(),
            "away");
}

TEST(Retry, StopsWhenTold) {
  bool stop = false;
  const absl::Status status = Retry(
      {}, [&] { return stop; },
      [&] {
        stop = true;
        return absl::UnavailableError("away");
      });
  EXPECT_TRUE(absl::IsCancelled(status));
}

// gRPC's servers cancel what is in hand when they shut down.
TEST(Retry, TriesAgainWhatTheOtherEndCancelled) {
  int tries = 0;
  bool stop = false;
  const auto attempt = [&] {
    return ++tries < 3 ? absl::CancelledError("CANCELLED") : absl::OkStatus();
  };
  EXPECT_TRUE(Retry(kFast, [&] { return stop; }, attempt).ok());
  EXPECT_EQ(tries, 3);
  const absl::Status stopped = Retry(
      kFast, [&] { return stop; },
      [&] {
        stop = true;
        return absl::CancelledError("because we stopped");
      });
  EXPECT_EQ(stopped.message(), "because we stopped");
}

TEST(SeedOf, DependsOnEveryKeyAndTheirOrder) {
  std::set<uint64_t> seeds;
  for (uint64_t a = 0; a < 20; ++a) {
    for (uint64_t b = 0; b < 20; ++b) seeds.insert(SeedOf({a, b}));
  }
  EXPECT_EQ(seeds.size(), 400);
  EXPECT_EQ(SeedOf({1, 2}), SeedOf({1, 2}));
}

// A value that two uses share does not compile; one that is missing here is a warning.
constexpr bool IsListed(Draw draw) {
  switch (draw) {
    case Draw::kEnvironment:
    case Draw::kClips:
    case Draw::kPpo:
    case Draw::kEvaluation:
    case Draw::kFinalEvaluation:
    case Draw::kEnsemble:
    case Draw::kSelection:
    case Draw::kOverlap:
    case Draw::kProgress:
    case Draw::kWinners:
    case Draw::kSide:
    case Draw::kCheck:
    case Draw::kRestart:
    case Draw::kReservoir:
    case Draw::kTeacher:
    case Draw::kPpoUpdate:
    case Draw::kEnsembleWeights:
    case Draw::kBootstrap:
    case Draw::kEnsembleMinibatch:
    case Draw::kHeldOut:
    case Draw::kHeldOutClip:
    case Draw::kPairs:
    case Draw::kRankings:
      return true;
  }
  return false;
}
static_assert(IsListed(Draw::kEnvironment));

TEST(SeedOf, KeysADrawAfterItsSeed) {
  EXPECT_EQ(SeedOf(7, Draw::kClips, 3, 4), SeedOf({7, 2, 3, 4}));
}

TEST(RandomHex128, IsNewEachTime) {
  EXPECT_EQ(RandomHex128().size(), 32);
  EXPECT_NE(RandomHex128(), RandomHex128());
}

TEST(Sha256Hex, IsTheStandardsHash) {
  EXPECT_EQ(Sha256Hex("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST(FromHex, ReadsBothCases) {
  EXPECT_EQ(FromHex(Sha256Hex("abc")), Sha256("abc"));
  EXPECT_EQ(FromHex("00fF7a"), std::string("\0\xff\x7a", 3));
  EXPECT_EQ(FromHex(""), "");
}

TEST(ShutdownSignal, EndsEveryWaiterOnSigterm) {
  ShutdownSignal shutdown;
  EXPECT_FALSE(shutdown.Requested());
  std::thread first([&] { shutdown.Wait(); });
  std::thread second([&] { shutdown.Wait(); });
  kill(getpid(), SIGTERM);
  first.join();
  second.join();
  EXPECT_TRUE(shutdown.Requested());
}

TEST(CondVar, WakesAWaiter) {
  Mutex mutex;
  CondVar changed;
  bool ready = false;
  std::thread setter([&] {
    MutexLock lock(&mutex);
    ready = true;
    changed.NotifyAll();
  });
  {
    MutexLock lock(&mutex);
    while (!ready) changed.Wait(&mutex);
  }
  setter.join();
}

TEST(Cores, AreNoMoreThanAContainerMayUse) {
  const std::string root = testing::TempDir() + "/cgroup";
  std::filesystem::create_directories(root + "/a/b");
  const auto limit = [&](const std::string& group, const std::string& text) {
    std::ofstream(root + group + "/cpu.max") << text;
  };
  EXPECT_EQ(CoresInGroup(root, "/a/b", 16), 16) << "without limits";
  limit("/a/b", "max 100000");
  EXPECT_EQ(CoresInGroup(root, "/a/b", 16), 16);
  limit("/a/b", "250000 100000");
  EXPECT_EQ(CoresInGroup(root, "/a/b", 16), 3);
  EXPECT_EQ(CoresInGroup(root, "/a/b", 2), 2) << "no more than there are";
  limit("/a", "50000 100000");
  EXPECT_EQ(CoresInGroup(root, "/a/b", 16), 1) << "within the group above";
  limit("", "200000 100000");
  EXPECT_EQ(CoresInGroup(root, "", 16), 2);
  EXPECT_GE(UsableCores(), 1);
  std::filesystem::remove_all(root);
}

}  // namespace
}  // namespace backflip::base
