"""Writes the files beside it, with TensorFlow 2.21: `python write.py FOLDER`. The tests only read them.

Variables of every type, partitioned, in slots and moving averages; V1 and V2, in one file and in shards; and what
TensorFlow reads back, as npz (bfloat16 as its bits, under a name that says so).
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import numpy as np
import tensorflow as tf

tf1 = tf.compat.v1
random = np.random.default_rng(0)
VERSIONS = {"v1": tf1.train.SaverDef.V1, "v2": tf1.train.SaverDef.V2}


class Block(tf.Module):
    def __init__(self) -> None:
        super().__init__()
        self.kernel = tf.Variable(random.normal(size=(3, 3, 2, 4)).astype(np.float32))
        self.half = tf.Variable(tf.cast(random.normal(size=5), tf.float16))
        self.brain = tf.Variable(tf.cast(random.normal(size=3), tf.bfloat16))
        self.double = tf.Variable(random.normal(size=(2, 2)))
        self.count = tf.Variable(np.int64(1 << 40))
        self.small = tf.Variable(np.array([-7, 8], np.int32))
        self.flags = tf.Variable([True, False, True])
        self.bytes = tf.Variable(np.array([1, 255], np.uint8))
        self.empty = tf.Variable(np.zeros((0, 3), np.float32))
        self.words = tf.Variable(["a", "bc"])


class Net(tf.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = [Block()]


def write_values(prefix: Path, file: Path) -> None:
    reader = tf.train.load_checkpoint(str(prefix))
    values = {}
    for name in reader.get_variable_to_shape_map():
        value = reader.get_tensor(name)
        if isinstance(value, bytes) or (value := np.asarray(value)).dtype.kind in "SO":
            continue
        brain = value.dtype.name == "bfloat16"
        values[("bfloat16:" if brain else "") + name] = value.view(np.uint16) if brain else value
    np.savez(file, **values)


def write_object_graph(folder: Path) -> None:
    tf.train.Checkpoint(model=Net()).save(str(folder / "object_graph/model.ckpt"))
    write_values(folder / "object_graph/model.ckpt-1", folder / "object_graph.npz")
    tf.saved_model.save(Net(), str(folder / "saved_model"))
    write_values(folder / "saved_model/variables/variables", folder / "saved_model.npz")


def write_savers(folder: Path) -> None:
    with tf.Graph().as_default():
        step = tf1.train.get_or_create_global_step()
        with tf1.variable_scope("net"):
            kernel = tf1.get_variable("conv/weights", (3, 3, 2, 4))
            tf1.get_variable("dense/kernel", (150, 3), partitioner=tf1.fixed_size_partitioner(3, axis=0))
            tf1.get_variable("wide/kernel", (2, 300), partitioner=tf1.fixed_size_partitioner(2, axis=1))
            tf1.get_variable("flag", initializer=np.array([True, False, True]), trainable=False)
            tf1.get_variable("half", (4,), dtype=tf.float16, trainable=False)
            tf1.get_variable("double", (4,), dtype=tf.float64, trainable=False)
            tf1.get_variable("ints", initializer=np.array([-3, 2**31 - 1], np.int32), trainable=False)
            tf1.get_variable("bytes", initializer=np.array([3, 255], np.uint8), trainable=False)
            tf1.get_variable("scalar", (), trainable=False)
        average = tf1.train.ExponentialMovingAverage(0.9, step).apply([kernel])
        train = tf1.train.MomentumOptimizer(0.1, 0.9).minimize(tf.reduce_sum(kernel**2), global_step=step)
        savers = {name: tf1.train.Saver(write_version=v, save_relative_paths=True) for name, v in VERSIONS.items()}
        with tf1.Session() as session:
            session.run(tf1.global_variables_initializer())
            session.run(train)
            session.run(average)
            for name, saver in savers.items():
                saver.save(session, str(folder / name / "model.ckpt"), global_step=step, write_meta_graph=False)
    write_values(folder / "v2/model.ckpt-1", folder / "saver.npz")


def write_shards(folder: Path) -> None:
    with tf.Graph().as_default():
        for device in (0, 1):
            with tf.device(f"/cpu:{device}"):
                tf1.get_variable(f"kernel_{device}", (3, 4 + device))
        savers = {name: tf1.train.Saver(write_version=v, sharded=True) for name, v in VERSIONS.items()}
        with tf1.Session(config=tf1.ConfigProto(device_count={"CPU": 2})) as session:
            session.run(tf1.global_variables_initializer())
            for name, saver in savers.items():
                saver.save(
                    session, str(folder / f"{name}_shards/model.ckpt"), write_meta_graph=False, write_state=False
                )
    write_values(folder / "v2_shards/model.ckpt", folder / "shards.npz")


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    for name in ("object_graph", "saved_model", "v1", "v2", "v1_shards", "v2_shards"):
        shutil.rmtree(folder / name, ignore_errors=True)
        (folder / name).mkdir(parents=True)
    write_object_graph(folder)
    write_savers(folder)
    write_shards(folder)
    for graph in ("saved_model.pb", "fingerprint.pb"):  # a program, and large: only the variables are read
        (folder / "saved_model" / graph).unlink()
