#include "common/sim/mujoco/scaffold.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>

namespace backflip::sim {
namespace {

namespace fs = std::filesystem;

constexpr char kRobot[] = R"(<mujoco>
  <compiler meshdir="assets"/>
  <asset><mesh name="box" file="box.obj" scale=".1 .1 .1"/></asset>
  <worldbody>
    <light pos="0 0 3"/>
    <geom name="floor" type="plane" size="0 0 1"/>
    <body name="base" pos="0 0 1">
      <freejoint/>
      <geom type="mesh" mesh="box"/>
      <body name="wheel" pos="0 0.2 0">
        <joint name="axle" axis="0 1 0"/>
        <geom type="cylinder" size="0.1 0.02" zaxis="0 1 0"/>
      </body>
    </body>
  </worldbody>
  <actuator><motor name="drive" joint="axle" ctrlrange="-1 1"/></actuator>
</mujoco>)";
constexpr char kBox[] =
    "v -1 -1 -1\nv 1 -1 -1\nv 1 1 -1\nv -1 1 -1\nv -1 -1 1\nv 1 -1 1\nv 1 1 1\n"
    "v -1 1 1\nf 1 2 3 4\nf 5 8 7 6\nf 1 5 6 2\nf 2 6 7 3\nf 3 7 8 4\nf 4 8 5 1\n";

class Scaffold : public testing::Test {
 protected:
  Scaffold() {
    const auto* info = testing::UnitTest::GetInstance()->current_test_info();
    root_ = testing::TempDir() + "/scaffold_" + info->name();
    fs::remove_all(root_);
    fs::create_directories(root_ + "/robot/assets");
    std::ofstream(root_ + "/robot/my-robot.xml") << kRobot;
    std::ofstream(root_ + "/robot/assets/box.obj") << kBox;
    std::ofstream(root_ + "/robot/unrelated.xml") << "<mujoco/>";
  }
  ~Scaffold() override { fs::remove_all(root_); }

  std::string root_;
};

TEST_F(Scaffold, MakesATaskThatLoadsFromAModelWithMeshes) {
  const auto made = ScaffoldTask(root_ + "/robot/my-robot.xml", root_ + "/my-task");
  ASSERT_TRUE(made.ok()) << made.status();
  const auto task = Task::FromFolder(root_ + "/my-task");
  ASSERT_TRUE(task.ok()) << task.status();
  EXPECT_EQ((*task)->name(), "my_task");
  EXPECT_EQ((*task)->bundle().hash, (*made)->bundle().hash);
  // height, quaternion; sine and cosine of the wheel; 7 velocities
  EXPECT_EQ((*task)->observation_size(), 5 + 2 + 7);
  EXPECT_GE((*task)->step_seconds(), 1 / 125.0);
  EXPECT_LE((*task)->step_seconds(), 1 / 50.0);
  EXPECT_FALSE((*task)->has_true_reward());
  EXPECT_FALSE(fs::exists(root_ + "/my-task/unrelated.xml"));
}

TEST_F(Scaffold, WorksOnTheHopper) {
  const auto made = ScaffoldTask(BACKFLIP_TASKS "/hopper/model.xml", root_ + "/hopper");
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_EQ((*made)->observation_size(), 12);
}

TEST_F(Scaffold, LeavesNothingBehindWhenItFails) {
  std::ofstream(root_ + "/robot/my-robot.xml") << "<mujoco><worldbody/></mujoco>";
  const auto none = ScaffoldTask(root_ + "/robot/my-robot.xml", root_ + "/t");
  EXPECT_THAT(std::string(none.status().message()), testing::HasSubstr("no actuator"));
  EXPECT_FALSE(fs::exists(root_ + "/t"));
  EXPECT_FALSE(fs::exists(root_ + "/t.draft"));
  EXPECT_EQ(ScaffoldTask(root_ + "/nope.xml", root_ + "/t").status().code(),
            absl::StatusCode::kNotFound);
}

TEST_F(Scaffold, KeepsWhatIsThere) {
  fs::create_directories(root_ + "/t");
  EXPECT_EQ(ScaffoldTask(root_ + "/robot/my-robot.xml", root_ + "/t").status().code(),
            absl::StatusCode::kAlreadyExists);
}

}  // namespace
}  // namespace backflip::sim
