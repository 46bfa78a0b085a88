#include "services/rollout_worker/task_cache.h"

#include <chrono>
#include <filesystem>
#include <fstream>
#include <string>

#include "common/base/random.h"
#include "common/sim/task.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace backflip::rollout_worker {
namespace {

using ::testing::HasSubstr;

class TaskCacheTest : public ::testing::Test {
 protected:
  TaskCacheTest()
      : bundle_((*sim::Task::FromFolder(BACKFLIP_TASKS "/hopper"))->bundle()),
        folder_(::testing::TempDir() + "/task-cache-" + base::RandomHex128()) {
    info_.set_name("hopper");
    info_.set_bundle_hash(bundle_.hash);
    info_.set_fingerprint((*sim::Task::FromBundle(bundle_.bytes))->fingerprint());
  }
  ~TaskCacheTest() override { std::filesystem::remove_all(folder_); }

  TaskCache Make() {
    return TaskCache(folder_, [this](const std::string& sha256) {
      EXPECT_EQ(sha256, bundle_.hash);
      ++fetches_;
      return absl::StatusOr<std::string>(bundle_.bytes);
    });
  }

  const sim::Bundle bundle_;
  const std::string folder_;
  v1::TaskInfo info_;
  int fetches_ = 0;
};

TEST_F(TaskCacheTest, FetchesABundleOnceForAllProcesses) {
  for (int i = 0; i < 2; ++i) {
    TaskCache cache = Make();
    EXPECT_EQ((*cache.Get(info_))->name(), "hopper");
    EXPECT_EQ((*cache.Get(info_))->name(), "hopper");
  }
  EXPECT_EQ(fetches_, 1);
}

TEST_F(TaskCacheTest, FetchesADamagedBundleAgain) {
  TaskCache first = Make();
  ASSERT_TRUE(first.Get(info_).ok());
  std::ofstream(folder_ + "/" + bundle_.hash + ".bundle") << "damaged";
  TaskCache second = Make();
  EXPECT_TRUE(second.Get(info_).ok());
  EXPECT_EQ(fetches_, 2);
}

TEST_F(TaskCacheTest, KeepsSoManyBytesAndLosesWhatWasUsedLongestAgo) {
  namespace fs = std::filesystem;
  fs::create_directories(folder_);
  const auto now = fs::file_time_type::clock::now();
  const auto put = [&](const std::string& name, int hours_ago) {
    std::ofstream(folder_ + "/" + name) << std::string(1000, 'x');
    fs::last_write_time(folder_ + "/" + name, now - std::chrono::hours(hours_ago));
  };
  put("oldest.bundle", 30);
  put("older.bundle", 20);
  put("old.bundle", 10);
  put("unfinished-long-ago", 2);
  put("unfinished-now", 0);
  put("something else", 40);
  const auto is_there = [&](const std::string& name) { return fs::exists(folder_ + "/" + name); };
  const auto get = [&](uintmax_t most_bytes) {
    TaskCache cache(
        folder_,
        [&](const std::string&) {
          ++fetches_;
          return absl::StatusOr<std::string>(bundle_.bytes);
        },
        most_bytes);
    EXPECT_TRUE(cache.Get(info_).ok());
  };
  get(bundle_.bytes.size() + 2500);
  EXPECT_FALSE(is_there("oldest.bundle"));
  EXPECT_TRUE(is_there("older.bundle") && is_there("old.bundle"));
  EXPECT_FALSE(is_there("unfinished-long-ago"));
  EXPECT_TRUE(is_there("unfinished-now") && is_there("something else"));
  // one that is used is new again
  const std::string ours = bundle_.hash + ".bundle";
  fs::last_write_time(folder_ + "/" + ours, now - std::chrono::hours(50));
  get(1);
  EXPECT_EQ(fetches_, 1);
  EXPECT_GT(fs::last_write_time(folder_ + "/" + ours), now - std::chrono::hours(1));
  // and the newest stays, however large it is
  fs::remove(folder_ + "/" + ours);
  get(1);
  EXPECT_TRUE(is_there(ours));
  EXPECT_FALSE(is_there("older.bundle") || is_there("old.bundle"));
}

TEST_F(TaskCacheTest, WorksWithoutAFolderToWriteTo) {
  TaskCache cache("/proc/nowhere", [this](const std::string&) {
    return absl::StatusOr<std::string>(bundle_.bytes);
  });
  EXPECT_TRUE(cache.Get(info_).ok());
}

TEST_F(TaskCacheTest, RefusesABundleWithAnotherHash) {
  TaskCache cache(folder_,
                  [](const std::string&) { return absl::StatusOr<std::string>("something else"); });
  EXPECT_TRUE(absl::IsDataLoss(cache.Get(info_).status()));
}

TEST_F(TaskCacheTest, RefusesATaskThatSimulatesOtherwise) {
  info_.set_fingerprint("another");
  TaskCache cache = Make();
  const absl::Status status = cache.Get(info_).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(status));
  EXPECT_THAT(std::string(status.message()), HasSubstr("same version of MuJoCo"));
}

TEST_F(TaskCacheTest, RefusesAHashThatCouldBeAPath) {
  info_.set_bundle_hash("../../etc/passwd");
  TaskCache cache = Make();
  EXPECT_TRUE(absl::IsInvalidArgument(cache.Get(info_).status()));
  EXPECT_EQ(fetches_, 0);
}

}  // namespace
}  // namespace backflip::rollout_worker
